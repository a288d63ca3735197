"""From a float model to a list of layers, each an operation of hardware."""

import torch
from torch import Tensor, nn

from systolith.quant.errors import UnsupportedModelError
from systolith.quant.model_checks import model_problems
from systolith.quant.reading import Reader
from systolith.quant.recording import record
from systolith.quant.traced_layers import Trace, TracedLayer

__all__ = ["Trace", "TracedLayer", "trace", "trace_layers"]

_IMAGES = 2
"""More than one, so that the batch axis is not taken for one of length 1."""


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
    if problems := list(model_problems(model)):
        raise UnsupportedModelError(problems)
    return Reader(record(model, first_images(model, images))).read()


def first_images(model: nn.Module, images: Tensor) -> Tensor:
    """Two images, of the type and on the device of the model; a single one is repeated."""
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    given = torch.cat([images[:_IMAGES], images[:1]])[:_IMAGES]
    return given.float() if weight is None else given.to(weight)
