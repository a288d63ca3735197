"""Sources of random choices: a seed, or hypothesis, which finds simpler choices that still fail."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

__all__ = ["Choices", "HypothesisChoices", "SeededChoices"]

T = TypeVar("T")
MAX_SEED = (1 << 32) - 1


class Choices(ABC):
    """Makes random choices, all of them integers. The first option of a choice is the simplest.

    Attributes
    ----------
    made : list of int
        All choices so far, from which hypothesis starts to shrink.
    """

    def __init__(self) -> None:
        self.made: list[int] = []

    def integer(self, low: int, high: int) -> int:
        """Choose an integer from ``low..high``; `low` is the simplest."""
        if low == high:
            return low
        self.made.append(self._chosen(low, high))
        return self.made[-1]

    def one_of(self, options: Sequence[T]) -> T:
        """Choose an option; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """Choose True with a probability of `percent`; False is the simplest."""
        return self.integer(0, 99) >= 100 - percent

    def subset(self, options: Sequence[T], percent: int) -> list[T]:
        """Choose each option with a probability of `percent`; the empty list is the simplest."""
        return [option for option in options if self.chance(percent)]

    def generator(self) -> np.random.Generator:
        """Choose the seed of a generator, for large arrays."""
        return np.random.default_rng(self.integer(0, MAX_SEED))

    @abstractmethod
    def _chosen(self, low: int, high: int) -> int:
        """Choose from ``low..high``, where low < high."""


class SeededChoices(Choices):
    """Uniform choices from a seed; equal seeds make equal choices."""

    def __init__(self, seed: int | str) -> None:
        super().__init__()
        self._random = Random(seed)

    def _chosen(self, low: int, high: int) -> int:
        return self._random.randint(low, high)


class HypothesisChoices(Choices):
    """Choices by hypothesis, with the argument ``draw`` of a composite strategy."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__()
        self._draw = draw

    def _chosen(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))
