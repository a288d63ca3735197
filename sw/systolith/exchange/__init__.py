"""Import and export of ONNX files, with quantizers of QONNX or of ONNX itself.

:func:`import_onnx` reads a file (:mod:`file`), turns its nodes (:mod:`nodes`) into values
(:mod:`values`) and layers (:mod:`layers`), and compares the network with the file's own executor
(:mod:`check`). :func:`quantize_onnx` quantizes a float file first, :func:`import_program` reads
what torchao quantized, and :func:`export_onnx` writes a network. :func:`detect_structure` finds the
sparsity of weights.
"""

from systolith.exchange.calibrating import quantize_onnx
from systolith.exchange.check.agreement import Agreement, DisagreementError
from systolith.exchange.check.executors import run_onnx
from systolith.exchange.errors import ExchangeError
from systolith.exchange.export.graph import Format
from systolith.exchange.export.model import export_model, export_onnx
from systolith.exchange.importing import ImportedModel, import_model, import_onnx
from systolith.exchange.layers.structure import Structure, detect_structure, detect_structures
from systolith.exchange.nodes.operators import OPERATORS, operator_rows
from systolith.exchange.programs import import_program, write_program
from systolith.exchange.tables import rewrite_rows, type_rows
from systolith.exchange.values.open_types import OUTPUT_BITS
from systolith.exchange.values.quantizer import InputQuantizer, Quantizer

__all__ = [
    "OPERATORS",
    "OUTPUT_BITS",
    "Agreement",
    "DisagreementError",
    "ExchangeError",
    "Format",
    "ImportedModel",
    "InputQuantizer",
    "Quantizer",
    "Structure",
    "detect_structure",
    "detect_structures",
    "export_model",
    "export_onnx",
    "import_model",
    "import_onnx",
    "import_program",
    "operator_rows",
    "quantize_onnx",
    "rewrite_rows",
    "run_onnx",
    "type_rows",
    "write_program",
]
