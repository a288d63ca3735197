"""Float models as lists of layers, in terms of hardware, read from recordings."""

from systolith.quant.recognition.comparison import comparison_problems
from systolith.quant.recognition.folding import fold_batch_norm
from systolith.quant.recognition.operations import FloatLayer, FloatNetwork, Reading
from systolith.quant.recognition.reading import read_layers, read_network

__all__ = [
    "FloatLayer",
    "FloatNetwork",
    "Reading",
    "comparison_problems",
    "fold_batch_norm",
    "read_layers",
    "read_network",
]
