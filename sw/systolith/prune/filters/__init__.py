"""Pruning of filters: channels that leave the network for good, with all that depends on them.

:func:`find_channel_groups` says which channels live and die together, :class:`FilterMasks` which of
them stay, :func:`gated` silences the others while training goes on.
"""

from systolith.prune.filters.gates import gated
from systolith.prune.filters.groups import ChannelGroup, find_channel_groups, module_gates
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.filters.sparsifier import FilterSparsifier, FrozenFilters

__all__ = [
    "ChannelGroup",
    "FilterMasks",
    "FilterSparsifier",
    "FrozenFilters",
    "find_channel_groups",
    "gated",
    "module_gates",
]
