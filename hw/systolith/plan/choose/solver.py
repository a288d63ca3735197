"""Exact choice of one option per layer: the fastest design in a budget, or the smallest at a pace.

At a given pace, slower options are dropped and :mod:`systolith.plan.choose.knapsack` chooses among
the others. Bisection over the paces that occur finds the fastest possible one.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Generic, Protocol, TypeVar

from systolith.devices.budget import KINDS, NOTHING, Budget, Resources
from systolith.plan.choose.knapsack import Vector, find_front, minimize_cost
from systolith.plan.errors import PlanError

__all__ = ["Option", "choose"]


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
    if not options:
        return []
    table = _Table(options, budget, taken)
    paces = _paces(options, cycles)
    low, high = 0, len(paces) - 1
    if not table.fits(paces[high]):
        raise PlanError(_shortages(options, budget, taken, cycles))
    while low < high:
        middle = (low + high) // 2
        if table.fits(paces[middle]):
            high = middle
        else:
            low = middle + 1
    return table.least(paces[low])


def _paces(options: Sequence[Sequence[Option]], cycles: int | None) -> list[int]:
    """Cycles that the slowest layer could take, ascending."""
    least = max(min(option.cycles for option in layer) for layer in options)
    if cycles is None:
        return sorted({o.cycles for o in chain.from_iterable(options) if o.cycles >= least})
    if least > cycles:
        need = f"the engines need at least {least:,} cycles per frame, however large they are"
        raise PlanError([f"{need}, but the target is {cycles:,}"])
    return [cycles]


class _Table(Generic[C]):
    """The options that no other beats in everything, each with its vector.

    A vector has the cycles, the multipliers, the share, and the amount of each limited resource.
    """

    def __init__(self, options: Sequence[Sequence[C]], budget: Budget, taken: Resources) -> None:
        limits = budget.limits.items()
        self.limits = {
            place: most - getattr(taken, kind) for place, (kind, most) in enumerate(limits, start=2)
        }
        kinds = tuple(budget.limits)
        known: dict[int, list[tuple[Vector, C]]] = {}
        for layer in options:
            # Equal layers share their options.
            if id(layer) not in known:
                vectors = [_vector(option, budget, kinds) for option in layer]
                known[id(layer)] = [(vectors[n], layer[n]) for n in find_front(vectors)]
        self.layers = [known[id(layer)] for layer in options]

    def fits(self, pace: int) -> bool:
        """Whether all layers can keep a pace."""
        return (
            minimize_cost(self._keeping(pace), self.limits, [0, 0, *[0] * len(self.limits)])
            is not None
        )

    def least(self, pace: int) -> list[C]:
        """Choose the options with the fewest multipliers, and then the least shares."""
        vectors = self._keeping(pace)
        # One multiplier costs more than any sum of shares.
        weight = 1 + sum(max(vector[1] for vector in layer) for layer in vectors)
        numbers = minimize_cost(vectors, self.limits, [weight, 1, *[0] * len(self.limits)])
        assert numbers is not None, "the pace is possible"
        return [
            [option for vector, option in layer if vector[0] <= pace][number]
            for layer, number in zip(self.layers, numbers, strict=True)
        ]

    def _keeping(self, pace: int) -> list[list[Vector]]:
        """For each layer the vectors that keep a pace, without their cycles."""
        return [[vector[1:] for vector, _ in layer if vector[0] <= pace] for layer in self.layers]


def _vector(option: Option, budget: Budget, kinds: Sequence[str]) -> Vector:
    used = option.resources
    amounts = (getattr(used, kind) for kind in kinds)
    return (option.cycles, used.multipliers, budget.share(used), *amounts)


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
