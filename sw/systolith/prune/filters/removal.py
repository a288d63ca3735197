"""Removed filters really leave: a smaller network with the same outputs."""

from collections.abc import Iterator
from copy import deepcopy

from torch import Tensor, nn

from systolith.prune.computed_weights import with_plain_weights
from systolith.prune.errors import PruneError
from systolith.prune.filters.analysis import find_channel_groups
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
    small = masks.shrink(model)
    masked = deepcopy(model)
    masks.apply_(masked)
    if problems := list(_differences(masked, small, images)):
        raise PruneError(problems)
    return small


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
