"""Pruning: masks from pattern, score and schedule.

A pattern (:class:`systolith.network.Pattern`) defines which masks are allowed, a score ranks the
weights, and a schedule sets the density over time. A :class:`Pruner` computes masks from the three,
a :class:`MaskSet` holds and applies them, and a :class:`Sparsifier` trains with them.

:mod:`~systolith.prune.dpp` draws masks and trains their probabilities,
:mod:`~systolith.prune.filters` removes whole filters, and :mod:`~systolith.prune.search` finds
masks by forward passes only.
"""

from systolith.prune.allocation import (
    PatternCost,
    allocate_patterns,
    magnitude_losses,
    weight_cost,
)
from systolith.prune.dpp import (
    DPP,
    DPPFilters,
    LearnedPatterns,
    LogitInit,
    MaskStatistics,
    mask_statistics,
)
from systolith.prune.errors import PruneError
from systolith.prune.filters import (
    GDP,
    ChannelGroup,
    Cost,
    FilterBudget,
    FilterMasks,
    FilterSparsifier,
    FrozenFilters,
    KeptCost,
    LayerCost,
    TaylorGates,
    check_budget,
    count_costs,
    find_channel_groups,
    gated,
    gated_channels,
    macs_after,
    module_gates,
    parameters_after,
    remove_filters,
    select_filters,
    straight_through,
    taylor_scores,
    unit_costs,
)
from systolith.prune.masks import MaskSet
from systolith.prune.own_parameters import OwnParameters
from systolith.prune.pruner import Pruner, Score, ScorePruner, magnitude
from systolith.prune.rules import (
    all_convolutions_but_first,
    check_patterns,
    match_patterns,
    prunable_layers,
)
from systolith.prune.schedule import Cubic, OneShot, Schedule
from systolith.prune.search import (
    BestOfRandom,
    EvaluationSplit,
    LayerPlan,
    LinearFilterEnsemble,
    Loss,
    ParticleFilter,
    prune_by_ensembles,
    prune_by_particles,
    prune_feature_maps_by_particles,
)
from systolith.prune.sparsifier import SRSTE, FrozenMasks, Sparsifier, WeightSparsifier
from systolith.prune.spp import SPP, spp_increment
from systolith.prune.strided import StridedPattern
from systolith.prune.topk import topk_mask

__all__ = [
    "DPP",
    "GDP",
    "SPP",
    "SRSTE",
    "BestOfRandom",
    "ChannelGroup",
    "Cost",
    "Cubic",
    "DPPFilters",
    "EvaluationSplit",
    "FilterBudget",
    "FilterMasks",
    "FilterSparsifier",
    "FrozenFilters",
    "FrozenMasks",
    "KeptCost",
    "LayerCost",
    "LayerPlan",
    "LearnedPatterns",
    "LinearFilterEnsemble",
    "LogitInit",
    "Loss",
    "MaskSet",
    "MaskStatistics",
    "OneShot",
    "OwnParameters",
    "ParticleFilter",
    "PatternCost",
    "PruneError",
    "Pruner",
    "Schedule",
    "Score",
    "ScorePruner",
    "Sparsifier",
    "StridedPattern",
    "TaylorGates",
    "WeightSparsifier",
    "all_convolutions_but_first",
    "allocate_patterns",
    "check_budget",
    "check_patterns",
    "count_costs",
    "find_channel_groups",
    "gated",
    "gated_channels",
    "macs_after",
    "magnitude",
    "magnitude_losses",
    "mask_statistics",
    "match_patterns",
    "module_gates",
    "parameters_after",
    "prunable_layers",
    "prune_by_ensembles",
    "prune_by_particles",
    "prune_feature_maps_by_particles",
    "remove_filters",
    "select_filters",
    "spp_increment",
    "straight_through",
    "taylor_scores",
    "topk_mask",
    "unit_costs",
    "weight_cost",
]
