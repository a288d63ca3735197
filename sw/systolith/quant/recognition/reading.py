"""From a float model to its layers."""

from torch import Tensor, nn

from systolith.quant.config import UnsupportedModelError
from systolith.quant.recognition.operations import FloatNetwork, Reading
from systolith.quant.recognition.reader import Reader
from systolith.trace import record

__all__ = ["read_layers", "read_network"]


def read_network(model: nn.Module, images: Tensor) -> FloatNetwork:
    """List the layers of a model, batch norms folded and activations fused where they belong.

    A ReLU after a max pool or flattening moves in front of it, which changes no result.

    Parameters
    ----------
    model : nn.Module
        Reads one tensor and returns one, with no control flow that depends on values. It runs
        once, in evaluation mode.
    images : Tensor of float, shape (N, *input_shape)
        At most two are used.

    Raises
    ------
    UnsupportedModelError
        Lists every module and call that cannot become a layer: qualified name, type, reason.
    """
    reading = read_layers(model, images)
    if reading.network is None:
        raise UnsupportedModelError(reading.problems)
    return reading.network


def read_layers(model: nn.Module, images: Tensor) -> Reading:
    """Read a model as :func:`read_network` does, but return the problems beside the layers."""
    return Reader(record(model, images)).read()
