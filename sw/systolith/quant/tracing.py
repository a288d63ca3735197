"""From a float model to a list of layers, each an operation of hardware."""

from torch import Tensor, nn

from systolith.quant.reading import Reader
from systolith.quant.traced_layers import Trace, TracedLayer
from systolith.trace import record

__all__ = ["Trace", "TracedLayer", "trace", "trace_layers"]


def trace_layers(model: nn.Module, images: Tensor) -> list[TracedLayer]:
    """List the layers of a model: those of :func:`trace`."""
    return trace(model, images).layers


def trace(model: nn.Module, images: Tensor) -> Trace:
    """List the layers of a model, batch norms folded and activations fused where they belong.

    A ReLU after a max pool or flattening moves in front of it, which changes no result.

    Parameters
    ----------
    model : nn.Module
        That reads one tensor and returns one, with no control flow that depends on values. It runs
        once, in evaluation mode.
    images : Tensor of float, shape (N, *input_shape)
        At most two are used.

    Raises
    ------
    UnsupportedModelError
        With every module and call that cannot become a layer: qualified name, type, reason.
    """
    return Reader(record(model, images)).read()
