"""One option for each layer: the fastest design within a budget, or the smallest at a pace; exact.

For a pace, options that are slower do not count, and neither do those that take more of something
and less of nothing than another. Mostly the best option of each layer then fits the budget; what
is left to choose, CP-SAT decides. The least pace that is possible is found by bisection.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model

from systolith.plan.budget import KINDS, Budget, Resources
from systolith.plan.errors import PlanError

__all__ = ["Choice", "choose"]

SEED = 0


class Choice(Protocol):
    """What may be chosen for a layer."""

    @property
    def cycles(self) -> int:
        """Per frame."""

    @property
    def resources(self) -> Resources:
        """What it takes."""


C = TypeVar("C", bound=Choice)
Vector = tuple[int, ...]
Limits = Mapping[int, int]


def choose(options: Sequence[Sequence[C]], budget: Budget, *, cycles: int | None = None) -> list[C]:
    """Choose an option for each layer.

    The slowest is as fast as the budget allows, or takes no more than `cycles`. At that pace, PE
    arrays have as few multipliers as possible; and with these, the sum of all shares of the limits
    is least, see :meth:`Budget.share`.

    Parameters
    ----------
    options : sequence of sequence of Choice
        For each layer at least one. Of those that are equal in everything, the first counts.
    budget : Budget
    cycles : int, optional
        Per frame, at most.

    Returns
    -------
    list of Choice
        The same on each run.

    Raises
    ------
    PlanError
        With each resource of which there is too little, or the cycles that are needed.
    """
    if not options:
        return []
    paces = _paces(options, cycles)
    low, high = 0, len(paces) - 1
    if not _fits(options, budget, paces[high]):
        raise PlanError(_lacking(options, budget, cycles))
    while low < high:
        middle = (low + high) // 2
        if _fits(options, budget, paces[middle]):
            high = middle
        else:
            low = middle + 1
    return _least(options, budget, paces[low])


def _paces(options: Sequence[Sequence[Choice]], cycles: int | None) -> list[int]:
    """Cycles that the slowest layer could take; no layer is slower than it must be."""
    least = max(min(option.cycles for option in layer) for layer in options)
    if cycles is None:
        return sorted({o.cycles for o in chain.from_iterable(options) if o.cycles >= least})
    if least > cycles:
        need = f"the engines need at least {least:,} cycles per frame, however large they are"
        raise PlanError([f"{need}, but the target is {cycles:,}"])
    return [cycles]


def _fits(options: Sequence[Sequence[Choice]], budget: Budget, pace: int) -> bool:
    limits = dict(enumerate(budget.limits.values()))
    vectors = [
        [_amounts(option, budget) for option in layer if option.cycles <= pace] for layer in options
    ]
    return _solved(vectors, limits, [0] * len(limits)) is not None


def _least(options: Sequence[Sequence[C]], budget: Budget, pace: int) -> list[C]:
    """Choose the options with the fewest multipliers, and then the least shares."""
    keeping = [[option for option in layer if option.cycles <= pace] for layer in options]
    vectors = [
        [
            (
                option.resources.multipliers,
                budget.share(option.resources),
                *_amounts(option, budget),
            )
            for option in layer
        ]
        for layer in keeping
    ]
    # A multiplier more is worse than any shares.
    weight = 1 + sum(max(vector[1] for vector in layer) for layer in vectors)
    limits = dict(enumerate(budget.limits.values(), start=2))
    numbers = _solved(vectors, limits, [weight, 1, *[0] * len(limits)])
    assert numbers is not None, "the pace was found to be possible"
    return [layer[number] for layer, number in zip(keeping, numbers, strict=True)]


def _amounts(option: Choice, budget: Budget) -> Vector:
    """What an option takes of each resource that is limited."""
    return tuple(getattr(option.resources, kind) for kind in budget.limits)


def _solved(
    vectors: Sequence[Sequence[Vector]], limits: Limits, costs: Sequence[int]
) -> list[int] | None:
    """Number of a vector for each layer, so that sums keep the limits and cost the least.

    Parameters
    ----------
    vectors : sequence of sequence of tuple of int
        All of one length, none negative.
    limits : mapping of int to int
        By place in a vector.
    costs : sequence of int
        Of a unit at each place.

    Returns
    -------
    list of int, or None
        None if nothing keeps the limits.
    """
    fronts = [_front(layer) for layer in vectors]
    if any(
        sum(
            min(layer[n][place] for n in front)
            for layer, front in zip(vectors, fronts, strict=True)
        )
        > limit
        for place, limit in limits.items()
    ):
        return None

    def cost(vector: Vector) -> int:
        return sum(map(int.__mul__, vector, costs))

    best = [
        min(front, key=lambda n: (cost(layer[n]), *layer[n]))
        for layer, front in zip(vectors, fronts, strict=True)
    ]
    chosen = [layer[n] for layer, n in zip(vectors, best, strict=True)]
    if all(sum(vector[place] for vector in chosen) <= most for place, most in limits.items()):
        return best
    kept = [tuple(layer[n] for n in front) for layer, front in zip(vectors, fronts, strict=True)]
    picks = _by_cp_sat(kept, limits, costs)
    return None if picks is None else [front[n] for front, n in zip(fronts, picks, strict=True)]


def _by_cp_sat(
    layers: Sequence[tuple[Vector, ...]], limits: Limits, costs: Sequence[int]
) -> list[int] | None:
    """The same by search. Layers with equal options are one variable for each: how many take it."""
    model = cp_model.CpModel()
    counts = {}
    for layer, times in Counter(layers).items():
        counts[layer] = [model.new_int_var(0, times, "") for _ in layer]
        model.add(sum(counts[layer]) == times)
    terms = [
        (vector, count)
        for layer, numbers in counts.items()
        for vector, count in zip(layer, numbers, strict=True)
    ]
    for place, most in limits.items():
        model.add(sum(vector[place] * count for vector, count in terms) <= most)
    if any(costs):
        model.minimize(sum(sum(map(int.__mul__, vector, costs)) * count for vector, count in terms))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = SEED
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None
    assert status == cp_model.OPTIMAL, solver.status_name(status)
    left = {
        layer: [number for number, count in enumerate(numbers) for _ in range(solver.value(count))]
        for layer, numbers in counts.items()
    }
    return [left[layer].pop(0) for layer in layers]


def _front(vectors: Sequence[Vector]) -> list[int]:
    """Numbers of the vectors that no other one beats or, if it comes before, equals."""
    order = sorted(range(len(vectors)), key=lambda number: (vectors[number], number))
    table: NDArray[np.int64] = np.empty((len(vectors), len(vectors[0])), dtype=np.int64)
    front: list[int] = []
    for number in order:
        vector = vectors[number]
        if not (table[: len(front)] <= vector).all(axis=1).any():
            table[len(front)] = vector
            front.append(number)
    return front


def _lacking(
    options: Sequence[Sequence[Choice]], budget: Budget, cycles: int | None
) -> Iterator[str]:
    """Name each resource of which the engines need more, whatever else they take; or any."""
    slowest = cycles if cycles is not None else max(o.cycles for o in chain.from_iterable(options))
    pace = "" if cycles is None else f" for {cycles:,} cycles per frame"
    keeping = [[option for option in layer if option.cycles <= slowest] for layer in options]
    need = "the engines need at least"
    found = False
    for kind, limit in budget.limits.items():
        least = sum(min(getattr(o.resources, kind) for o in layer) for layer in keeping)
        if least > limit:
            found = True
            yield f"{need} {least:,} {KINDS[kind]}{pace}, but the budget is {limit:,}"
    if found:
        return
    for kind, limit in budget.limits.items():
        others = Budget(**{**budget.limits, kind: None}, block=budget.block)
        vectors = [
            [(getattr(o.resources, kind), *_amounts(o, others)) for o in layer] for layer in keeping
        ]
        limits = dict(enumerate(others.limits.values(), start=1))
        numbers = _solved(vectors, limits, [1] + [0] * len(limits))
        if numbers is not None:
            least = sum(layer[n][0] for layer, n in zip(vectors, numbers, strict=True))
            rest = ", ".join(f"{most:,} {KINDS[other]}" for other, most in others.limits.items())
            yield f"{need} {least:,} {KINDS[kind]}{pace} with {rest}, but the budget is {limit:,}"
            found = True
    if not found:
        rest = ", ".join(f"{most:,} {KINDS[kind]}" for kind, most in budget.limits.items())
        yield f"the engines need more{pace} of several resources than {rest}"
