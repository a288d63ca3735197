"""The sum of one output, and which part of it each array row reads in which step."""

from dataclasses import dataclass
from functools import cache, lru_cache
from math import ceil, gcd

__all__ = ["Reduction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """Groups of n input channels at the taps of a kernel; each pair of group and tap is one part.

    A row's memory holds a bank: every ``banks``-th group, so that transfers can be dealt to the
    rows. Rows with the same bank share its parts, tap by tap, groups innermost.

    Parameters
    ----------
    taps, groups : int
        Kernel positions, and groups of input channels.
    reads : tuple of tuple of int, optional
        Kept taps of each group, ascending; default: all.
    """

    taps: int
    groups: int
    reads: tuple[tuple[int, ...], ...] | None = None

    @property
    def length(self) -> int:
        """Number of parts."""
        if self.reads is None:
            return self.taps * self.groups
        return sum(map(len, self.reads))

    def banks(self, rows: int) -> int:
        """Different contents among the memories of the rows: row r holds bank ``r % banks``."""
        return gcd(rows, self.groups)

    def folds(self, rows: int) -> int:
        """Steps in which the rows read all parts."""
        banks = self.banks(rows)
        return ceil(_fullest(self, banks) / (rows // banks))

    def parts(self, rows: int, row: int) -> list[tuple[int, int]]:
        """List tap and group that a row reads, step by step; may be shorter than :meth:`folds`."""
        banks = self.banks(rows)
        return _bank(self, banks, row % banks)[row // banks :: rows // banks]


@cache
def _fullest(reduction: Reduction, banks: int) -> int:
    """Number of parts of the largest bank."""
    if reduction.reads is None:
        return reduction.taps * (reduction.groups // banks)
    return max(sum(map(len, reduction.reads[bank::banks])) for bank in range(banks))


@lru_cache(maxsize=64)
def _bank(reduction: Reduction, banks: int, bank: int) -> list[tuple[int, int]]:
    groups = range(bank, reduction.groups, banks)
    reads = reduction.reads
    return [
        (tap, group)
        for tap in range(reduction.taps)
        for group in groups
        if reads is None or tap in reads[group]
    ]
