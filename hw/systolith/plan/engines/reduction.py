"""What one output sums over, and in which step each row of an array reads which part of it."""

from dataclasses import dataclass
from functools import cache, lru_cache
from math import ceil, gcd

__all__ = ["Reduction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """Groups of n input channels at the taps of a kernel; each pair of both is one part.

    A row's memory holds a bank: every ``banks``-th group, so that transfers can be dealt to the
    rows. Rows of one bank share its parts, tap by tap, groups innermost.

    Parameters
    ----------
    taps, groups : int
        Kernel positions, and groups of input channels.
    reads : tuple of tuple of int, optional
        For each group the taps that it keeps, ascending; default: all.
    """

    taps: int
    groups: int
    reads: tuple[tuple[int, ...], ...] | None = None

    @property
    def length(self) -> int:
        """Parts."""
        if self.reads is None:
            return self.taps * self.groups
        return sum(map(len, self.reads))

    def banks(self, rows: int) -> int:
        """Different contents among the memories of so many rows: row r holds bank r modulo this."""
        return gcd(rows, self.groups)

    def folds(self, rows: int) -> int:
        """Steps in which so many rows read all parts."""
        banks = self.banks(rows)
        return ceil(_fullest(self, banks) / (rows // banks))

    def parts(self, rows: int, row: int) -> list[tuple[int, int]]:
        """Tap and group that a row reads, step by step; shorter than :meth:`folds` at the end."""
        banks = self.banks(rows)
        return _bank(self, banks, row % banks)[row // banks :: rows // banks]


@cache
def _fullest(reduction: Reduction, banks: int) -> int:
    """Parts of the bank that has most."""
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
