"""Models of several inputs as models of one: their channels follow each other."""

import inspect
from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor, nn

__all__ = ["stack_inputs"]


def stack_inputs(model: nn.Module, channels: Sequence[int]) -> nn.Module:
    """Make a model of one input from a model of several, with the same modules and parameters.

    The one input has the channels of the first, then those of the second, and so on. Hardware then
    reads one stream, and parts of it are selected by wiring.

    Parameters
    ----------
    model : nn.Module
        Its inputs are images of one height and width, or vectors.
    channels : sequence of int
        Channels of each image, or features of each vector, in the order of ``forward``.

    Returns
    -------
    nn.Module
        Its modules and parameters are those of `model`, with the same names. It takes
        ``torch.cat([a, b], 1)`` where `model` takes ``a, b``.

    Raises
    ------
    ValueError
        If `model` does not take as many inputs, a number is not positive, or there is only one.

    Examples
    --------
    >>> class Sum(nn.Module):
    ...     def forward(self, image, mask):
    ...         return image.sum(1, keepdim=True) * mask
    >>> image, mask = torch.tensor([[[[2.0]], [[3.0]]]]), torch.tensor([[[[4.0]]]])
    >>> stack_inputs(Sum(), (2, 1))(torch.cat([image, mask], 1))
    tensor([[[[20.]]]])
    """
    sizes = list(channels)
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"channels must be two or more positive numbers, got {sizes}")
    try:
        inspect.signature(model.forward).bind(*sizes)
    except TypeError as error:
        names = ", ".join(inspect.signature(model.forward).parameters)
        raise ValueError(f"forward() takes {names}, but {len(sizes)} inputs are given") from error
    kind = type(model)

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        result: Tensor = kind.forward(self, *torch.split(x, sizes, 1))
        return result

    joined = copy(model)
    joined.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": __name__})
    return joined
