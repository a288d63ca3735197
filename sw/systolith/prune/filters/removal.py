"""Removal of filters: a smaller network with the same outputs."""

from collections.abc import Iterator
from copy import deepcopy

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from systolith.prune.computed_weights import with_plain_weights
from systolith.prune.errors import PruneError
from systolith.prune.filters.analysis import find_channel_groups
from systolith.prune.filters.masks import FilterMasks
from systolith.trace import evaluating

__all__ = ["remove_filters"]

IMAGES = 2
TOLERANCE = 1e-9
"""Relative to the largest output; float64 sums in another order differ far less."""


def remove_filters(model: nn.Module, masks: FilterMasks, images: Tensor) -> nn.Module:
    """Make a smaller network that computes the same as the masked one.

    Outputs are equal up to rounding, because sums over fewer channels may have another order.

    Parameters
    ----------
    model : nn.Module
        It is not changed. The masks may have been applied or not.
    masks : FilterMasks
        Made for the groups of this model.
    images : Tensor of float, shape (N, C, H, W)
        Outputs of both networks are compared on at most two images, in float64.

    Returns
    -------
    nn.Module
        A copy of the same class with smaller convolutions, linear layers and batch norms, and new
        parameters without gradients. Weights computed by hooks or parametrizations become
        parameters.

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
    PruneError.raise_if_any(_differences(masked, small, images))
    return small


def _differences(masked: nn.Module, small: nn.Module, images: Tensor) -> Iterator[str]:
    """Compare outputs of both networks on the CPU, as a check of the analysis."""
    images = images[:IMAGES].cpu().double()
    with evaluating(masked), evaluating(small):
        expected = masked.cpu().double()(images)
        try:
            got = deepcopy(small).cpu().double()(images)
        except RuntimeError as failure:
            yield f"a network without its removed filters must run, but raises: {failure}"
            return
    for wanted, tensor in zip(tree_leaves(expected), tree_leaves(got), strict=True):
        error = float((wanted - tensor).abs().max())
        if not error <= TOLERANCE * float(wanted.abs().max()):
            yield (
                "a network without its removed filters must compute the same, but differs by "
                f"{error}"
            )
