"""Patterns found for a budget of the experiment: cycles, kept MACs, or kept weights."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from torch import Tensor, nn

from systolith.config import BudgetSection
from systolith.frontend import lower
from systolith.network import Conv2d, Linear, Pattern
from systolith.plan import PlanError, Work, choose_arrays, least_cycles, no_engine, work_of
from systolith.prune import (
    PatternCost,
    allocate_patterns,
    magnitude_losses,
    prunable_layers,
    weight_cost,
)
from systolith.prune.topk import weight_shape
from systolith.quant import prepare

__all__ = ["cycle_cost", "patterns_for_budget", "with_pattern"]


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
        Each is used where it fits, and for a budget of cycles, where an engine computes it.
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
    cost: PatternCost
    if budget.cycles is not None:
        cost, limit = _CycleCost(model, images, multipliers), float(budget.cycles)
        fitting = {
            name: [pattern for pattern in found if not any(cost.problems(name, pattern))]
            for name, found in fitting.items()
        }
    else:
        cost = weight_cost(model, images, macs=budget.macs is not None)
        limit = (budget.macs or budget.parameters or 1.0) * cost({})
    fitting = {name: found for name, found in fitting.items() if found}
    return allocate_patterns(magnitude_losses(model, fitting), cost, limit)


def cycle_cost(model: nn.Module, images: Tensor, multipliers: int) -> PatternCost:
    """Cycles per frame that the planner's arrays need, as a function of patterns by layer.

    The same search and the same formula as in :func:`systolith.plan.plan_network`, for every kind
    of layer with weights and every pattern; pools, additions and streams are taken to keep pace.

    Raises
    ------
    PlanError
        From the cost, for a pattern with which no engine computes its layer.
    """
    return _CycleCost(model, images, multipliers)


def with_pattern(layer: Conv2d | Linear, pattern: Pattern) -> Conv2d | Linear:
    """Lay a pattern over a layer; of each group the greatest weights stay."""
    mask = pattern.best_mask(abs(layer.weight).reshape(layer.weight_shape))
    mask = mask.reshape(layer.weight.shape)
    return replace(
        layer,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
        weight=layer.weight * mask,
    )


class _CycleCost:
    """Looks at each layer under each pattern once: allocation asks for the same ones over and over.

    Masks are those of greatest magnitude; cycles depend on the pattern only.
    """

    def __init__(self, model: nn.Module, images: Tensor, multipliers: int) -> None:
        quantized = prepare(model, images)
        self.network, self.multipliers = lower(quantized), multipliers
        self.layers = {
            quantized.origins[layer.name]: layer
            for layer in self.network.layers
            if isinstance(layer, Linear | Conv2d)
        }
        self._works: dict[tuple[str, Pattern], Work] = {}

    def __call__(self, patterns: Mapping[str, Pattern]) -> float:
        works = [self._work(name, patterns.get(name, Pattern())) for name in self.layers]
        arrays = choose_arrays(works, {}, self.multipliers)
        return float(max(least_cycles(work, arrays[work.name]) for work in works))

    def problems(self, name: str, pattern: Pattern) -> Iterator[str]:
        """Say why no engine computes a layer under a pattern; nothing if one does."""
        yield from no_engine(self.network, self._layer(name, pattern))

    def _work(self, name: str, pattern: Pattern) -> Work:
        if (name, pattern) not in self._works:
            if problems := list(self.problems(name, pattern)):
                raise PlanError(problems)
            self._works[name, pattern] = work_of(self.network, self._layer(name, pattern))
        return self._works[name, pattern]

    def _layer(self, name: str, pattern: Pattern) -> Conv2d | Linear:
        return with_pattern(self.layers[name], pattern)
