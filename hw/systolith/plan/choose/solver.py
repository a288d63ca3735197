"""Exact choice of one option per layer: the fastest design in a budget, or the smallest at a pace.

At a given pace, slower options are dropped and :mod:`systolith.plan.choose.knapsack` chooses among
the others. Bisection over the paces that occur finds the fastest possible one.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter, mul
from typing import Generic, Protocol, TypeVar

import numpy as np

from systolith.devices.budget import KINDS, NOTHING, Budget, Resources
from systolith.plan.choose.front import Vector, find_front
from systolith.plan.choose.knapsack import minimize_cost
from systolith.plan.choose.prices import Floats, PricedOptions, draw_prices, judge_pace
from systolith.plan.errors import PlanError

__all__ = ["Chooser", "Clock", "Option", "choose"]

Clock = Callable[[Resources], float]
"""Estimated clock of a design with some resources, in MHz; it never rises with them."""


class Option(Protocol):
    """One way to build a layer's engine."""

    @property
    def cycles(self) -> int:
        """Cycles per frame."""

    @property
    def resources(self) -> Resources:
        """Resources of the engine."""


C = TypeVar("C", bound=Option)


def choose(
    options: Sequence[Sequence[C]],
    budget: Budget,
    *,
    cycles: int | None = None,
    taken: Resources = NOTHING,
) -> list[C]:
    """Choose an option for each layer.

    The slowest layer is as fast as the budget allows, or takes at most `cycles`. At that pace, PE
    arrays have as few multipliers as possible, and among such designs the sum of the shares of all
    limits is smallest, see :meth:`Budget.share`.

    Parameters
    ----------
    options : sequence of sequence of Option
        At least one for each layer. Of equal options, the first counts.
    budget : Budget
    cycles : int, optional
        Most cycles per frame.
    taken : Resources
        Resources of the budget that other parts of the design take.

    Returns
    -------
    list of Option
        One for each layer; the same on each run.

    Raises
    ------
    PlanError
        Naming each resource that is too scarce, or the cycles that are needed.
    """
    return Chooser(options, budget).choose(cycles=cycles, taken=taken)


class Chooser(Generic[C]):
    """The choice of an option for each layer, for any paces and amounts that are taken.

    Parameters
    ----------
    options : sequence of sequence of Option
        At least one for each layer. Of equal options, the first counts.
    budget : Budget
    """

    def __init__(self, options: Sequence[Sequence[C]], budget: Budget) -> None:
        self._options, self._budget = options, budget
        known: dict[int, _Layer[C]] = {}
        for layer in options:
            # Equal layers share their options.
            if id(layer) not in known:
                known[id(layer)] = _Layer(layer, budget)
        self._layers = [known[id(layer)] for layer in options]

    def choose(self, *, cycles: int | None = None, taken: Resources = NOTHING) -> list[C]:
        """Choose as :func:`choose` says."""
        if not self._options:
            return []
        paces = _paces(self._options, cycles)
        limits = self._left(taken)
        low, high = 0, len(paces) - 1
        if not self._fits(paces[high], limits):
            raise PlanError(_shortages(self._options, self._budget, taken, cycles))
        while low < high:
            middle = (low + high) // 2
            if self._fits(paces[middle], limits):
                high = middle
            else:
                low = middle + 1
        return self._least(paces[low], limits)

    def choose_by_clock(
        self, clock: Clock, *, frames_per_second: float | None = None, taken: Resources = NOTHING
    ) -> list[C]:
        """Choose by frames per second: those of an estimated clock, divided by the cycles.

        At each pace the choice is that of :func:`choose`. Of these, the one with most frames per
        second is taken, or with a target the slowest one that reaches it. A pace counts as too
        slow without a choice if even the least of each resource allows no sufficient clock.

        Parameters
        ----------
        clock : callable
            Estimated clock of a design with some resources, in MHz. It never rises with them.
        frames_per_second : float, optional
            Target.
        taken : Resources
            See :func:`choose`.

        Raises
        ------
        PlanError
            If the budget is too small, or the target is not reached.
        """
        fastest = self.choose(taken=taken)
        if not fastest:
            return []
        limits, first = self._left(taken), _pace_of(fastest)
        paces = [pace for pace in _paces(self._options, None) if pace > first]
        if frames_per_second is not None:
            for pace in reversed(paces):
                if clock(self._least_resources(pace) + taken) * 1e6 >= frames_per_second * pace:
                    chosen = self._least(pace, limits)
                    if _rate(chosen, clock, taken) >= frames_per_second:
                        return chosen
        best, most = fastest, _rate(fastest, clock, taken)
        for pace in paces:
            if clock(self._least_resources(pace) + taken) * 1e6 > most * pace:
                chosen = self._least(pace, limits)
                if (rate := _rate(chosen, clock, taken)) > most:
                    best, most = chosen, rate
        if frames_per_second is not None and most < frames_per_second:
            reached = f"the fastest design reaches {most:,.1f} frames per second"
            raise PlanError([f"{reached} by the estimated clock; wanted {frames_per_second:,.1f}"])
        return best

    def _left(self, taken: Resources) -> list[int]:
        """Return what is left of each limit."""
        return [most - getattr(taken, kind) for kind, most in self._budget.limits.items()]

    def _least_resources(self, pace: int) -> Resources:
        """Return the least of each resource by itself that any choice at a pace takes."""
        return sum((layer.least_resources(pace) for layer in self._layers), NOTHING)

    def _fits(self, pace: int, limits: Sequence[int]) -> bool:
        """Whether all layers can keep a pace."""
        if not limits:
            return True
        scale, prices, priced = self._priced
        worth = prices @ (np.array(limits) * scale)
        fits = judge_pace(priced, pace, np.array(limits), worth)
        if fits is not None:
            return fits
        vectors = [[vector[2:] for vector in layer.keeping(pace)] for layer in self._layers]
        return minimize_cost(vectors, dict(enumerate(limits)), [0] * len(limits)) is not None

    @cached_property
    def _priced(self) -> tuple[Floats, Floats, list[PricedOptions]]:
        """Factors on the limited resources, prices of these, and what options cost with them."""
        most = np.array(list(self._budget.limits.values()))
        scale, prices = 1 / np.maximum(most, 1), draw_prices(len(most))
        priced = {layer: layer.priced(scale, prices) for layer in set(self._layers)}
        return scale, prices, [priced[layer] for layer in self._layers]

    def _least(self, pace: int, limits: Sequence[int]) -> list[C]:
        """Choose the options with the fewest multipliers, and then the least shares."""
        vectors = [layer.keeping(pace) for layer in self._layers]
        # One multiplier costs more than any sum of shares.
        weight = 1 + sum(max(vector[1] for vector in layer) for layer in vectors)
        costs = [weight, 1, *[0] * len(limits)]
        numbers = minimize_cost(vectors, dict(enumerate(limits, start=2)), costs)
        assert numbers is not None, "the pace is possible"
        return [layer.options[number] for layer, number in zip(self._layers, numbers, strict=True)]


def _pace_of(chosen: Sequence[Option]) -> int:
    return max(option.cycles for option in chosen)


def _rate(chosen: Sequence[Option], clock: Clock, taken: Resources) -> float:
    """Frames per second by the estimated clock."""
    used = sum((option.resources for option in chosen), taken)
    return clock(used) * 1e6 / _pace_of(chosen)


def _paces(options: Sequence[Sequence[Option]], cycles: int | None) -> list[int]:
    """Cycles that the slowest layer could take, ascending."""
    least = max(min(option.cycles for option in layer) for layer in options)
    if cycles is None:
        return sorted({o.cycles for o in chain.from_iterable(options) if o.cycles >= least})
    if least > cycles:
        need = f"the engines need at least {least:,} cycles per frame, however large they are"
        raise PlanError([f"{need}, but the target is {cycles:,}"])
    return [cycles]


class _Layer(Generic[C]):
    """The options of a layer that no other beats in everything, those with fewest cycles first.

    A vector has the multipliers, the share, and the amount of each limited resource.
    """

    def __init__(self, options: Sequence[C], budget: Budget) -> None:
        amounts = attrgetter("multipliers", *KINDS)
        units = [budget.share(Resources(**{kind: 1})) for kind in KINDS]
        limited = [place for place, kind in enumerate(KINDS) if kind in budget.limits]
        vectors: list[Vector] = []
        for option in options:
            multipliers, *used = amounts(option.resources)
            share = sum(map(mul, used, units))
            vectors.append((option.cycles, multipliers, share, *(used[n] for n in limited)))
        front = find_front(vectors)
        self.options = [options[number] for number in front]
        self.cycles = [option.cycles for option in self.options]
        self.vectors: list[Vector] = [vectors[number][1:] for number in front]

    def keeping(self, pace: int) -> list[Vector]:
        """Vectors of the options that keep a pace."""
        return self.vectors[: bisect_right(self.cycles, pace)]

    @cached_property
    def _least(self) -> list[Resources]:
        """The least of each resource among the options up to each."""
        amounts = attrgetter(*KINDS)
        taken = np.array([amounts(option.resources) for option in self.options], dtype=np.int64)
        return [Resources(*row) for row in np.minimum.accumulate(taken, axis=0).tolist()]

    def least_resources(self, pace: int) -> Resources:
        """Return the least of each resource by itself among the options that keep a pace."""
        return self._least[bisect_right(self.cycles, pace) - 1]

    def priced(self, scale: Floats, prices: Floats) -> PricedOptions:
        """Compute what the options cost."""
        amounts = np.array([vector[2:] for vector in self.vectors], dtype=np.int64)
        return PricedOptions(self.cycles, amounts, scale, prices)


def _shortages(
    options: Sequence[Sequence[Option]], budget: Budget, taken: Resources, cycles: int | None
) -> Iterator[str]:
    """Name each resource that is too scarce by itself; if none is, those too scarce in sum."""
    slowest = cycles if cycles is not None else max(o.cycles for o in chain.from_iterable(options))
    pace = "" if cycles is None else f" for {cycles:,} cycles per frame"
    keeping = [[option for option in layer if option.cycles <= slowest] for layer in options]
    need = "the engines need at least"
    short = False
    for kind, limit in budget.limits.items():
        least = sum(min(getattr(o.resources, kind) for o in layer) for layer in keeping)
        least += getattr(taken, kind)
        if least > limit:
            short = True
            yield f"{need} {least:,} {KINDS[kind]}{pace}, but the budget is {limit:,}"
    if short:
        return
    for kind, limit in budget.limits.items():
        others = {other: most for other, most in budget.limits.items() if other != kind}
        vectors = [
            [tuple(getattr(o.resources, place) for place in (kind, *others)) for o in layer]
            for layer in keeping
        ]
        left = [most - getattr(taken, other) for other, most in others.items()]
        numbers = minimize_cost(vectors, dict(enumerate(left, start=1)), [1] + [0] * len(left))
        if numbers is not None:
            least = sum(layer[n][0] for layer, n in zip(vectors, numbers, strict=True))
            least += getattr(taken, kind)
            rest = " and ".join(f"{most:,} {KINDS[other]}" for other, most in others.items())
            yield f"{need} {least:,} {KINDS[kind]}{pace} with {rest}, but the budget is {limit:,}"
            short = True
    if not short:
        rest = " and ".join(f"{most:,} {KINDS[kind]}" for kind, most in budget.limits.items())
        yield f"the engines need more{pace} of several resources than {rest}"
