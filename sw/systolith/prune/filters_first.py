"""Weights with their filters first, whatever the order in which a layer stores them."""

from torch import Tensor, nn

__all__ = [
    "Convolution",
    "Transposed",
    "as_stored",
    "filter_weights",
    "filters_first",
    "owner_of",
]

Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d
"""Layers that store weights (C, F/groups, ...)."""
Convolution = nn.Conv1d | nn.Conv2d | Transposed


def filters_first(values: Tensor, layer: object) -> Tensor:
    """Order values of a layer's weights, as it stores them, by filters: (F, C/groups, ...).

    Examples
    --------
    >>> layer = nn.ConvTranspose1d(4, 6, 3, groups=2)
    >>> tuple(layer.weight.shape), tuple(filters_first(layer.weight, layer).shape)
    ((4, 3, 3), (6, 2, 3))
    """
    return _exchange(values, layer.groups) if isinstance(layer, Transposed) else values


def as_stored(values: Tensor, layer: object) -> Tensor:
    """Undo :func:`filters_first`."""
    return _exchange(values, layer.groups) if isinstance(layer, Transposed) else values


def filter_weights(layer: object) -> Tensor:
    """Weights of a layer, (F, C/groups, ...) or (O, I), without gradients."""
    weight = getattr(layer, "weight", None)
    assert isinstance(weight, Tensor), "the layer has filters"
    return filters_first(weight.detach(), layer)


def owner_of(model: nn.Module, parameter: str) -> nn.Module:
    """Module that owns a parameter, given by its qualified name."""
    return model.get_submodule(parameter.rpartition(".")[0])


def _exchange(values: Tensor, groups: int) -> Tensor:
    """Exchange filters and channels within each group of a convolution."""
    parts = values.reshape(groups, -1, *values.shape[1:])
    return parts.transpose(1, 2).flatten(0, 1)
