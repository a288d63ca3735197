"""Pruning of filters: channels that leave the network for good, with all that depends on them.

:func:`find_channel_groups` says which channels live and die together, :class:`FilterMasks` which of
them stay. :func:`gated` silences the others while training goes on, :func:`remove_filters` makes
the smaller network. :func:`select_filters` turns scores into masks that meet a :class:`Budget`.
"""

from systolith.prune.filters.costs import (
    Cost,
    KeptCost,
    LayerCost,
    count,
    macs_after,
    parameters_after,
)
from systolith.prune.filters.gates import gated
from systolith.prune.filters.groups import ChannelGroup, find_channel_groups, module_gates
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.filters.removal import remove_filters
from systolith.prune.filters.selection import Budget, marginal_costs, select_filters
from systolith.prune.filters.sparsifier import FilterSparsifier, FrozenFilters

__all__ = [
    "Budget",
    "ChannelGroup",
    "Cost",
    "FilterMasks",
    "FilterSparsifier",
    "FrozenFilters",
    "KeptCost",
    "LayerCost",
    "count",
    "find_channel_groups",
    "gated",
    "macs_after",
    "marginal_costs",
    "module_gates",
    "parameters_after",
    "remove_filters",
    "select_filters",
]
