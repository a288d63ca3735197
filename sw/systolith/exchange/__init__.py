"""Networks from and to the files of other tools: QONNX, ONNX with quantizers; sparsity found."""

from systolith.exchange.agreement import Agreement, DisagreementError
from systolith.exchange.errors import ExchangeError
from systolith.exchange.exporting import Format, export_model, export_onnx
from systolith.exchange.importing import Imported, import_model, import_onnx
from systolith.exchange.input_quantizer import InputQuantizer
from systolith.exchange.operators import OPERATORS, operator_rows
from systolith.exchange.output_type import OUTPUT_BITS
from systolith.exchange.quantizer import Quantizer
from systolith.exchange.structure import Structure, detect, structures
from systolith.exchange.tables import rewrite_rows, type_rows

__all__ = [
    "OPERATORS",
    "OUTPUT_BITS",
    "Agreement",
    "DisagreementError",
    "ExchangeError",
    "Format",
    "Imported",
    "InputQuantizer",
    "Quantizer",
    "Structure",
    "detect",
    "export_model",
    "export_onnx",
    "import_model",
    "import_onnx",
    "operator_rows",
    "rewrite_rows",
    "structures",
    "type_rows",
]
