"""Which channels of a model live and die together, found exactly from a recording of it."""

from systolith.prune.filters.analysis.finding import find_channel_groups

__all__ = ["find_channel_groups"]
