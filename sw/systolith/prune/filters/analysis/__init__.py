"""Groups of channels that can only be removed together, found exactly from a recording."""

from systolith.prune.filters.analysis.finding import find_channel_groups

__all__ = ["find_channel_groups"]
