"""Pruning of filters: channels leave the network together with everything that depends on them.

:func:`find_channel_groups` finds channels that can only be removed together, :class:`FilterMasks`
says which of them stay. :func:`gated_channels` silences the others during training, and
:func:`remove_filters` makes the smaller network. :func:`select_filters` turns scores into masks
that meet a :class:`FilterBudget`; :func:`score_filters` scores a model as it is, and sparsifiers
such as :class:`GDP` learn scores while they train.
"""

from systolith.prune.filters.analysis import find_channel_groups
from systolith.prune.filters.budget import FilterBudget, match_ratios
from systolith.prune.filters.costs import (
    Cost,
    KeptCost,
    LayerCost,
    count_costs,
    macs_after,
    parameters_after,
)
from systolith.prune.filters.gates import gated, gated_channels
from systolith.prune.filters.gdp import GDP
from systolith.prune.filters.groups import ChannelGroup, module_gates
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.filters.removal import remove_filters
from systolith.prune.filters.scores import (
    FilterScore,
    batch_norm_scores,
    fpgm_scores,
    lamp_scores,
    norm_scores,
    random_scores,
    score_filters,
)
from systolith.prune.filters.selection import (
    check_budget,
    divide_by_costs,
    select_filters,
    select_filters_by_layer,
    uniform_filters,
    unit_costs,
)
from systolith.prune.filters.sparsifier import FilterSparsifier, FrozenFilters
from systolith.prune.filters.straight_through import straight_through
from systolith.prune.filters.taylor import TaylorGates, taylor_scores

__all__ = [
    "GDP",
    "ChannelGroup",
    "Cost",
    "FilterBudget",
    "FilterMasks",
    "FilterScore",
    "FilterSparsifier",
    "FrozenFilters",
    "KeptCost",
    "LayerCost",
    "TaylorGates",
    "batch_norm_scores",
    "check_budget",
    "count_costs",
    "divide_by_costs",
    "find_channel_groups",
    "fpgm_scores",
    "gated",
    "gated_channels",
    "lamp_scores",
    "macs_after",
    "match_ratios",
    "module_gates",
    "norm_scores",
    "parameters_after",
    "random_scores",
    "remove_filters",
    "score_filters",
    "select_filters",
    "select_filters_by_layer",
    "straight_through",
    "taylor_scores",
    "uniform_filters",
    "unit_costs",
]
