"""Patterns found for a budget of the experiment: cycles, kept MACs, or kept weights."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from systolith.config import BudgetSection
from systolith.frontend import lower
from systolith.network import Conv2d, Linear, NetworkError, Pattern
from systolith.plan import PlanError, Work, choose_arrays, least_cycles, no_engine, work_of
from systolith.prune import (
    PatternCost,
    allocate_patterns,
    magnitude_losses,
    prunable_layers,
    weight_cost,
)
from systolith.prune.topk import weight_shape
from systolith.quant import QuantConfig, prepare

__all__ = ["PatternBudget", "cycle_cost", "pattern_budget", "patterns_for_budget", "with_pattern"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternBudget:
    """What the patterns of a network may cost, and which there are to choose from.

    Attributes
    ----------
    candidates : mapping of str to list of Pattern
        Of all layers but the first for which there are any, by layer name, besides dense.
    cost : PatternCost
    limit : float
        The most that it may be.
    slope : PatternCost
        A sum over layers to which `cost` is about proportional: with arrays in balance, cycles are
        kept MACs over multipliers.
    """

    candidates: Mapping[str, list[Pattern]]
    cost: PatternCost
    limit: float
    slope: PatternCost

    def renamed(self, names: Mapping[str, str]) -> "PatternBudget":
        """Put the same for a model whose layers have other names, given by those here."""
        own = {new: old for old, new in names.items()}

        def of(cost: PatternCost) -> PatternCost:
            return lambda patterns: cost({own[name]: p for name, p in patterns.items()})

        candidates = {names[name]: found for name, found in self.candidates.items()}
        return replace(self, candidates=candidates, cost=of(self.cost), slope=of(self.slope))


def pattern_budget(
    model: nn.Module,
    images: Tensor,
    candidates: Iterable[Pattern],
    budget: BudgetSection,
    *,
    multipliers: int,
) -> PatternBudget:
    """Put a budget in terms of patterns.

    Parameters
    ----------
    model : nn.Module
    images : Tensor, shape (N, C, H, W)
        Of which only the shape matters.
    candidates : iterable of Pattern
        Each is used where it fits, and for a budget of cycles, where an engine computes it.
    budget : BudgetSection
    multipliers : int
        Of the hardware, for cycles.
    """
    patterns = list(candidates)
    fitting = {
        name: [p for p in patterns if not any(p.problems(weight_shape(layer.weight)))]
        for name, layer in list(prunable_layers(model).items())[1:]
    }
    kept = weight_cost(model, images, macs=budget.parameters is None)
    cost, limit = kept, (budget.macs or budget.parameters or 1.0) * kept({})
    if budget.cycles is not None:
        cost, limit = _CycleCost(model, images, multipliers), float(budget.cycles)
        fitting = {
            name: [pattern for pattern in found if not any(cost.problems(name, pattern))]
            for name, found in fitting.items()
        }
    fitting = {name: found for name, found in fitting.items() if found}
    return PatternBudget(candidates=fitting, cost=cost, limit=limit, slope=kept)


def patterns_for_budget(model: nn.Module, budget: PatternBudget) -> dict[str, Pattern]:
    """Choose patterns of a trained model by magnitude.

    Raises
    ------
    PruneError
        If the budget cannot be met.
    """
    losses = magnitude_losses(model, budget.candidates)
    return allocate_patterns(losses, budget.cost, budget.limit)


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
        signed = bool((images < 0).any())
        quantized = prepare(model, images, QuantConfig(input_signed=signed))
        self.quantized, self.multipliers = quantized, multipliers
        self.network = lower(quantized)
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
        try:
            layer = self._layer(name, pattern)
        except NetworkError as error:
            yield from error.problems
        else:
            yield from no_engine(self.network, layer)

    def _work(self, name: str, pattern: Pattern) -> Work:
        if (name, pattern) not in self._works:
            if problems := list(self.problems(name, pattern)):
                raise PlanError(problems)
            self._works[name, pattern] = work_of(self.network, self._layer(name, pattern))
        return self._works[name, pattern]

    def _layer(self, name: str, pattern: Pattern) -> Conv2d | Linear:
        layer = self.layers[name]
        return with_pattern(layer, self.quantized.network_pattern(layer.name, pattern))
