"""Patterns found for a budget of the experiment: cycles, kept MACs, or kept weights."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from systolith.config import BudgetSection
from systolith.frontend import lower
from systolith.network import Conv2d, KOutOfN, Linear, Pattern
from systolith.plan import choose_arrays, least_cycles, work_of
from systolith.prune import (
    PatternCost,
    allocate_patterns,
    magnitude_losses,
    prunable_layers,
    weight_cost,
)
from systolith.prune.topk import weight_shape
from systolith.quant import prepare

__all__ = ["cycle_cost", "patterns_for_budget"]


def patterns_for_budget(
    model: nn.Module,
    images: Tensor,
    candidates: Iterable[Pattern],
    budget: BudgetSection,
    *,
    multipliers: int,
) -> dict[str, Pattern]:
    """Choose patterns for all layers but the first.

    Parameters
    ----------
    model : nn.Module
        Trained.
    images : Tensor, shape (N, C, H, W)
        Of which only the shape matters.
    candidates : iterable of Pattern
        Each is used where it fits.
    budget : BudgetSection
    multipliers : int
        Of the hardware, for cycles.

    Raises
    ------
    PruneError
        If the budget cannot be met.
    """
    patterns = list(candidates)
    fitting = {
        name: [p for p in patterns if not any(p.problems(weight_shape(layer.weight)))]
        for name, layer in list(prunable_layers(model).items())[1:]
    }
    fitting = {name: found for name, found in fitting.items() if found}
    if budget.cycles is not None:
        cost, limit = cycle_cost(model, images, multipliers), float(budget.cycles)
    else:
        cost = weight_cost(model, images, macs=budget.macs is not None)
        limit = (budget.macs or budget.parameters or 1.0) * cost({})
    return allocate_patterns(magnitude_losses(model, fitting), cost, limit)


def cycle_cost(model: nn.Module, images: Tensor, multipliers: int) -> PatternCost:
    """Cycles per frame that the planner's arrays need, as a function of patterns by layer.

    The same search and the same formula as in :func:`systolith.plan.plan_network`, also for
    networks with layers that no engine computes yet: those are taken to keep pace. Depthwise
    convolutions count as such.
    """
    quantized = prepare(model, images)
    network = lower(quantized)
    works = {
        quantized.origins[layer.name]: work_of(network, layer)
        for layer in network.layers
        if isinstance(layer, Linear) or (isinstance(layer, Conv2d) and layer.groups == 1)
    }

    def cost(patterns: Mapping[str, Pattern]) -> float:
        sparse = []
        for name, work in works.items():
            select = patterns.get(name, Pattern()).select
            slots, group = (select.k, select.n) if isinstance(select, KOutOfN) else (1, 1)
            sparse.append(work.with_slots(slots, group))
        arrays = choose_arrays(sparse, {}, multipliers)
        return float(max(least_cycles(work, arrays[work.name]) for work in sparse))

    return cost
