"""Identities of channels: sets that are removed together, and channels that have to stay."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Channels", "Labels"]

Labels = NDArray[np.int64]
"""Identity of each channel of a tensor, shape (C,); shape (groups, C/groups) of its parts."""


@dataclass(slots=True)
class Channels:
    """Disjoint sets of channels; each set is removed as a whole or has a reason to stay."""

    _parents: list[int] = field(default_factory=list)
    _reasons: dict[int, str] = field(default_factory=dict)

    def fresh(self, count: int) -> Labels:
        """Make new identities."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def roots(self, labels: Labels) -> Labels:
        """Representatives of the sets of these channels."""
        return np.array([self._root(label) for label in labels.ravel().tolist()], dtype=np.int64)

    def unite(self, one: Labels, other: Labels) -> None:
        """Tie channels pairwise: each pair is removed together."""
        for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
            first, second = sorted((self._root(a), self._root(b)))
            if first != second:
                self._parents[second] = first
                if second in self._reasons:
                    self._reasons.setdefault(first, self._reasons.pop(second))

    def fix(self, labels: Labels, reason: str) -> None:
        """Keep channels; the first reason given for a set is kept."""
        for label in labels.ravel().tolist():
            self._reasons.setdefault(self._root(label), reason)

    def reason(self, label: int) -> str:
        """Why a channel has to stay; empty if it may leave."""
        return self._reasons.get(self._root(label), "")

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label
