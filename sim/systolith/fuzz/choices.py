"""Where decisions come from: a seed, or hypothesis, which finds simpler ones that still fail."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

__all__ = ["Choices", "Drawn", "Seeded"]

T = TypeVar("T")
MAX_SEED = (1 << 32) - 1


class Choices(ABC):
    """Makes decisions, all of them by choosing integers; of each, the simplest comes first.

    Attributes
    ----------
    made : list of int
        What was chosen so far, for hypothesis to begin from.
    """

    def __init__(self) -> None:
        self.made: list[int] = []

    def integer(self, low: int, high: int) -> int:
        """Choose from ``low..high``; `low` is the simplest."""
        if low == high:
            return low
        self.made.append(self._chosen(low, high))
        return self.made[-1]

    def one_of(self, options: Sequence[T]) -> T:
        """Choose an option; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """Choose True so often; False is the simplest."""
        return self.integer(0, 99) >= 100 - percent

    def subset(self, options: Sequence[T], percent: int) -> list[T]:
        """Choose each option so often, in their order; none is the simplest."""
        return [option for option in options if self.chance(percent)]

    def generator(self) -> np.random.Generator:
        """Choose a seed for large arrays, whose values are not decided one by one."""
        return np.random.default_rng(self.integer(0, MAX_SEED))

    @abstractmethod
    def _chosen(self, low: int, high: int) -> int:
        """Choose from ``low..high``, where low < high."""


class Seeded(Choices):
    """Decisions from a seed, evenly: equal seeds, equal decisions."""

    def __init__(self, seed: int | str) -> None:
        super().__init__()
        self._random = Random(seed)

    def _chosen(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


class Drawn(Choices):
    """Decisions by hypothesis: takes what a composite strategy gets as ``draw``."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__()
        self._draw = draw

    def _chosen(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))
