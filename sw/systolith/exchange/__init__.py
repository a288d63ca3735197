"""Networks from and to the files of other tools: QONNX, ONNX with quantizers; sparsity found."""

from systolith.exchange.errors import ExchangeError
from systolith.exchange.importing import Imported, import_onnx
from systolith.exchange.operators import OPERATORS, operator_rows
from systolith.exchange.quantizing import InputQuantizer, Quantizer
from systolith.exchange.structure import Structure, detect, structures

__all__ = [
    "OPERATORS",
    "ExchangeError",
    "Imported",
    "InputQuantizer",
    "Quantizer",
    "Structure",
    "detect",
    "import_onnx",
    "operator_rows",
    "structures",
]
