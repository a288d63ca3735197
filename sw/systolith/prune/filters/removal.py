"""Removed filters really leave: a smaller network with the same outputs."""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from systolith.prune.computed_weights import with_plain_weights
from systolith.prune.errors import PruneError
from systolith.prune.filters.groups import find_channel_groups
from systolith.prune.filters.masks import FilterMasks
from systolith.trace import evaluating

__all__ = ["remove_filters"]

IMAGES = 2
TOLERANCE = 1e-9
"""Relative to the largest output; float64 sums in another order stay far below it."""


def remove_filters(model: nn.Module, masks: FilterMasks, images: Tensor) -> nn.Module:
    """Make a smaller network that computes what the masked one does.

    Outputs are equal up to rounding: with fewer channels, sums may be taken in another order.

    Parameters
    ----------
    model : nn.Module
        Not changed. Whether the masks have been applied does not matter.
    masks : FilterMasks
        Made for the groups of this model.
    images : Tensor of float, shape (N, C, H, W)
        The outputs of both networks are compared on at most two of them, in float64.

    Returns
    -------
    nn.Module
        A copy of the same class whose convolutions, linear layers and batch norms are smaller; its
        parameters are new ones, without gradients. Weights that hooks or parametrizations compute
        are parameters there.

    Raises
    ------
    PruneError
        If the masks were made for another model, or the outputs differ.
    """
    model = with_plain_weights(model)
    groups = find_channel_groups(model, images)
    if others := [group.name for group in masks.groups if group not in groups]:
        raise PruneError(
            f"masks must be made for this model, but its group '{name}' is another"
            for name in others
        )
    small = deepcopy(model)
    outputs, inputs = masks.channel_masks(), masks.input_masks()
    for name in {**outputs, **inputs}:
        _shrink_(small.get_submodule(name), outputs.get(name), inputs.get(name))
    masked = deepcopy(model)
    masks.apply_(masked)
    if problems := list(_differences(masked, small, images)):
        raise PruneError(problems)
    return small


def _shrink_(module: nn.Module, outputs: Tensor | None, inputs: Tensor | None) -> None:
    if outputs is not None:
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.ndim:  # a batch norm counts its batches in a scalar
                _replace(module, name, tensor[outputs.to(tensor.device)])
    if inputs is not None:
        weight = module.get_parameter("weight")
        _replace(module, "weight", weight[:, inputs.to(weight.device)])
    match module:
        case nn.Conv2d():
            multiplier = module.out_channels // module.in_channels
            module.out_channels, module.in_channels = module.weight.shape[:2]
            if module.groups > 1:  # depthwise: all filters of a channel went with it
                module.in_channels = module.groups = module.out_channels // multiplier
        case nn.Linear():
            module.out_features, module.in_features = module.weight.shape
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            module.num_features = len(module.weight)


def _replace(module: nn.Module, name: str, value: Tensor) -> None:
    old = getattr(module, name)
    value = value.detach().clone(memory_format=torch.preserve_format)
    is_parameter = isinstance(old, nn.Parameter)
    setattr(module, name, nn.Parameter(value, old.requires_grad) if is_parameter else value)


def _differences(masked: nn.Module, small: nn.Module, images: Tensor) -> Iterator[str]:
    """Run both, though the analysis should have made that needless: a wrong network is worse."""
    device = next(masked.parameters()).device
    images = images[:IMAGES].to(device).double()
    with evaluating(masked), evaluating(small):
        expected = masked.double()(images)
        got = deepcopy(small).double()(images)
    scale = float(expected.abs().max())
    error = float((expected - got).abs().max())
    if not error <= TOLERANCE * scale:
        yield f"a network without its removed filters must compute the same, but differs by {error}"
