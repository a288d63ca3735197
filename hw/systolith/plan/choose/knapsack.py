"""Exact multiple-choice knapsack: one vector per layer, sums within limits, at the least cost.

Vectors that another vector dominates are dropped. In most cases the cheapest vector of each layer
then keeps the limits; otherwise CP-SAT chooses. Where it takes long to prove that no choice costs
less, its best one is taken.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from ortools.sat.python import cp_model

from systolith.plan.choose.front import Vector, find_front

__all__ = ["Limits", "minimize_cost"]

SEED = 0
PATIENCE = 1.0
"""Deterministic time of CP-SAT, about a second, after which a choice need not be proven the best.

ResNet-20 on a nearly full ECP5-85F: after one unit the shares are 0.001 % above those after four,
and 0.6 % above the bound; minutes bring no proof.
"""

Limits = Mapping[int, int]
"""Largest sums, by place in a vector."""


def minimize_cost(
    vectors: Sequence[Sequence[Vector]], limits: Limits, costs: Sequence[int]
) -> list[int] | None:
    """Choose the number of a vector for each layer, so that sums keep the limits at least cost.

    After :data:`PATIENCE`, the best choice found so far is taken. It is the same on each run.

    Parameters
    ----------
    vectors : sequence of sequence of tuple of int
        Vectors of each layer, of one length, without negative numbers.
    limits : Limits
    costs : sequence of int
        Cost of one unit at each place.

    Returns
    -------
    list of int, or None
        None if no choice keeps the limits.
    """
    fronts = [find_front(layer) for layer in vectors]
    if any(
        sum(
            min(layer[n][place] for n in numbers)
            for layer, numbers in zip(vectors, fronts, strict=True)
        )
        > limit
        for place, limit in limits.items()
    ):
        return None

    def cost(vector: Vector) -> int:
        return sum(map(int.__mul__, vector, costs))

    best = [
        min(numbers, key=lambda n: (cost(layer[n]), *layer[n]))
        for layer, numbers in zip(vectors, fronts, strict=True)
    ]
    chosen = [layer[n] for layer, n in zip(vectors, best, strict=True)]
    if all(sum(vector[place] for vector in chosen) <= most for place, most in limits.items()):
        return best
    kept = [
        tuple(layer[n] for n in numbers) for layer, numbers in zip(vectors, fronts, strict=True)
    ]
    picks = _by_cp_sat(kept, limits, costs)
    return None if picks is None else [fronts[at][n] for at, n in enumerate(picks)]


def _by_cp_sat(
    layers: Sequence[tuple[Vector, ...]], limits: Limits, costs: Sequence[int]
) -> list[int] | None:
    """Choose by CP-SAT. Layers with equal vectors share variables: how many take each vector."""
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
    solver.parameters.max_deterministic_time = PATIENCE
    while (status := solver.solve(model)) == cp_model.UNKNOWN:
        solver.parameters.max_deterministic_time *= 10
    if status == cp_model.INFEASIBLE:
        return None
    assert status in (cp_model.OPTIMAL, cp_model.FEASIBLE), solver.status_name(status)
    left = {
        layer: [number for number, count in enumerate(numbers) for _ in range(solver.value(count))]
        for layer, numbers in counts.items()
    }
    return [left[layer].pop(0) for layer in layers]
