"""Dynamic probabilistic pruning: masks are drawn, and training learns their probabilities.

:class:`DPP` draws masks of given patterns, :class:`LearnedPatterns` draws the patterns, too, and
:class:`DPPFilters` draws filters.
"""

from systolith.prune.dpp.drawn_layer import LogitInit
from systolith.prune.dpp.filters import DPPFilters
from systolith.prune.dpp.learned_patterns import LearnedPatterns
from systolith.prune.dpp.mask_statistics import MaskStatistics, mask_statistics
from systolith.prune.dpp.weights import DPP

__all__ = [
    "DPP",
    "DPPFilters",
    "LearnedPatterns",
    "LogitInit",
    "MaskStatistics",
    "mask_statistics",
]
