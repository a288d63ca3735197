"""Dynamic probabilistic pruning that also learns the pattern of each layer, within a budget."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Generator, nn

from systolith.network import Pattern
from systolith.prune.allocation import PatternCost, allocate_patterns, magnitude_losses
from systolith.prune.dpp.drawn_layer import LogitInit
from systolith.prune.dpp.layer_patterns import LayerPatterns
from systolith.prune.dpp.mask_logits import TRAVEL, Annealing
from systolith.prune.dpp.mask_statistics import MaskStatistics
from systolith.prune.dpp.pattern_probabilities import PatternProbabilities
from systolith.prune.errors import PruneError
from systolith.prune.filters_first import filter_weights, filters_first
from systolith.prune.masks import MaskSet
from systolith.prune.rules import check_patterns, prunable_layers
from systolith.prune.sparsifier_optimizer import SparsifierOptimizer

__all__ = ["LearnedPatterns"]


class LearnedPatterns:
    """Dynamic probabilistic pruning that also draws the pattern of each layer.

    Every step draws a candidate for each layer, then a mask of that pattern as
    :class:`systolith.prune.DPP` does. With g the gradient at ``mask * W``, the straight-through
    estimate of pattern q's effect on the loss is ``<g * W, mask_q>``. For it, masks of all
    candidates are drawn; masks of candidates that differ in k only are nested, the k largest of the
    same noisy logits. From these scores :class:`PatternProbabilities` learns. The expected cost is
    within the budget at every step.

    From `decide_at` on, each layer has its most valuable pattern within the budget, by the actual
    cost, and only masks are drawn. From `draw_until` on masks are fixed; weights are fine-tuned.

    Parameters
    ----------
    model : nn.Module
        Its weights give the initial probabilities of masks and patterns.
    candidates : mapping of str to iterable of Pattern
        By layer name; dense is added.
    cost : PatternCost
        Cost that the budget limits, such as cycles.
    budget : float
        Highest cost of the network; positive.
    slope : PatternCost, optional
        Substitute for a cost that is no sum over layers: a sum over layers, such as MACs, to which
        `cost` is roughly proportional, in any unit. Default: `cost`.
    init, noise, entropy, temperature, draw_until, travel, seed
        See :class:`systolith.prune.DPP`; logits start by magnitude, as patterns are chosen for
        trained networks.
    decide_at : float
        Progress, above 0 and at most `draw_until`, after which patterns are fixed.

    Raises
    ------
    PruneError
        If a pattern does not fit its layer, weights are frozen, or a number is out of range, all
        problems being listed; or if the budget cannot be met.

    Notes
    -----
    On digits with the MACs of a uniform 2-out-of-16 (12 epochs, three seeds), the test loss is
    0.054, that of the uniform pattern 0.079, of random patterns 0.099. It does not beat patterns
    that :func:`allocate_patterns` chooses by magnitude, 0.045: they are the same, and drawing them
    costs.

    Masks: see :class:`systolith.prune.DPP`. The limit in units of `slope` is the slope of the
    patterns that :func:`allocate_patterns` chooses by magnitude, scaled up by the share of the
    budget that they leave unused.
    """

    def __init__(
        self,
        model: nn.Module,
        candidates: Mapping[str, Iterable[Pattern]],
        *,
        cost: PatternCost,
        budget: float,
        slope: PatternCost | None = None,
        init: LogitInit = LogitInit.MAGNITUDE,
        noise: float | None = None,
        entropy: float | None = None,
        temperature: tuple[float, float] = (5.0, 0.5),
        decide_at: float = 0.1,
        draw_until: float = 0.8,
        travel: float = TRAVEL,
        seed: int = 0,
    ) -> None:
        self._annealing = Annealing(temperature=temperature, draw_until=draw_until)
        self._options = {
            name: tuple(dict.fromkeys([Pattern(), *given])) for name, given in candidates.items()
        }
        problems = list(_number_problems(noise, entropy, budget, decide_at, draw_until))
        problems += self._annealing.problems()
        problems += SparsifierOptimizer.problems(travel)
        problems += dict.fromkeys(_misfits(model, self._options))
        PruneError.raise_if_any(problems)
        self.settings = {
            "candidates": self._options,
            "cost": cost,
            "budget": budget,
            "slope": slope,
            "init": init,
            "noise": noise,
            "entropy": entropy,
            "temperature": temperature,
            "decide_at": decide_at,
            "draw_until": draw_until,
            "travel": travel,
            "seed": seed,
        }
        self._decide_at, self._budget, self._cost = decide_at, budget, _cache(cost)
        self._probabilities = _initial_probabilities(
            magnitude_losses(model, self._options), self._cost, budget, slope or cost
        )
        self._generator = torch.Generator().manual_seed(seed)
        layers = prunable_layers(model)
        weights = {name: filter_weights(layers[name]) for name in self._options}
        self._layers = {
            name: LayerPatterns(patterns, weights[name], noise=noise, entropy=entropy)
            for name, patterns in self._options.items()
        }
        for name, layer in self._layers.items():
            for family in layer.families.values():
                family.start_(self._generator, weights[name], init)
        # Probabilities of patterns need no optimizer.
        self._optimizer = SparsifierOptimizer(self._logits(), travel=travel, until=draw_until)
        self._chosen: dict[str, Pattern] | None = None

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`systolith.prune.Sparsifier.step`."""
        choosing = progress < self._decide_at
        drawing = self._annealing.draws_at(progress)
        self._optimizer.begin_(progress)
        if choosing:
            drawn = self._probabilities.draw(self._generator)
            patterns = {n: o[i] for (n, o), i in zip(self._options.items(), drawn, strict=True)}
        else:
            patterns = self.patterns()
        masks = self._masks(patterns, self._generator if drawing else None)
        with masks.applied(model):
            yield
        scores, stored = [], masks.as_stored(model)
        for name, layer in self._layers.items():
            weight = model.get_parameter(f"{name}.weight")
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            at_mask = filters_first(gradient * weight.detach(), model.get_submodule(name))
            pattern = patterns.get(name, Pattern())
            if choosing:
                scores.append(layer.scores(at_mask, pattern, self._generator))
            if drawing and (family := layer.family(pattern)) is not None:
                family.learn_(at_mask, self._annealing.temperature_at(progress))
            if (mask := stored.get(f"{name}.weight")) is not None:
                gradient.masked_fill_(~mask, 0.0)
        self._optimizer.step_(progress)
        if choosing:
            self._probabilities.learn_(scores)
            self._chosen = None

    def masks(self, model: nn.Module) -> MaskSet:
        """Return the masks of :meth:`patterns`, without noise."""
        return self._masks(self.patterns(), None)

    def patterns(self) -> dict[str, Pattern]:
        """Return the most valuable patterns within the budget, by layer; without dense ones."""
        if self._chosen is None:
            losses = {
                name: {pattern: -worth for pattern, worth in zip(options, row, strict=False)}
                for (name, options), row in zip(
                    self._options.items(), self._probabilities.worth.tolist(), strict=True
                )
            }
            self._chosen = allocate_patterns(losses, self._cost, self._budget)
        return dict(self._chosen)

    def probabilities(self) -> dict[str, dict[Pattern, float]]:
        """Return the probability of each candidate, by layer, as long as patterns are drawn."""
        rows = self._probabilities.probabilities().tolist()
        return {
            name: dict(zip(options, row, strict=False))
            for (name, options), row in zip(self._options.items(), rows, strict=True)
        }

    def statistics(self) -> dict[str, MaskStatistics]:
        """Return confidence and diversity of masks by name of the layers that are not dense."""
        statistics = {}
        for name, pattern in self.patterns().items():
            if (family := self._layers[name].family(pattern)) is not None:
                statistics[name] = family.logits.statistics()
        return statistics

    def state_dict(self) -> dict[str, Any]:
        """Return probabilities, logits, and the states of optimizer and random generator."""
        return {
            "probabilities": self._probabilities.state_dict(),
            "logits": [parameter.detach().clone() for parameter in self._logits()],
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        self._probabilities.load_state_dict(state["probabilities"])
        for parameter, value in zip(self._logits(), state["logits"], strict=True):
            parameter.detach().copy_(value)
        self._optimizer.load_state_dict(state["optimizer"])
        self._chosen = None
        self._generator.set_state(state["generator"])

    def _logits(self) -> list[nn.Parameter]:
        return [
            family.logits.parameter
            for layer in self._layers.values()
            for family in layer.families.values()
        ]

    def _masks(self, patterns: Mapping[str, Pattern], generator: Generator | None) -> MaskSet:
        """Draw masks; without a generator, make the final ones. Dense layers have none."""
        sparse = {name: pattern for name, pattern in patterns.items() if not pattern.is_dense}
        return MaskSet.unchecked(
            {f"{name}.weight": self._layers[name].mask(p, generator) for name, p in sparse.items()},
            {f"{name}.weight": pattern for name, pattern in sparse.items()},
        )


def _number_problems(
    noise: float | None, entropy: float | None, budget: float, decide_at: float, draw_until: float
) -> Iterator[str]:
    for name, value in (("noise", noise), ("entropy", entropy)):
        if value is not None and not value >= 0:
            yield f"{name} must be at least 0, got {value}"
    if not 0 < decide_at <= draw_until:
        yield f"decide_at must lie in 0..draw_until={draw_until}, above 0, got {decide_at}"
    if not budget > 0:
        yield f"budget must be positive, got {budget}"


def _misfits(model: nn.Module, options: Mapping[str, tuple[Pattern, ...]]) -> Iterator[str]:
    """Yield each reason why candidates cannot be learned."""
    layers = prunable_layers(model)
    for name, patterns in options.items():
        for pattern in patterns:
            try:
                check_patterns(model, {name: pattern})
            except PruneError as error:
                yield from error.problems
        if name in layers and not layers[name].weight.requires_grad:
            yield f"patterns are learned from gradients, but the weights of '{name}' are frozen"


def _initial_probabilities(
    losses: Mapping[str, Mapping[Pattern, float]],
    cost: PatternCost,
    budget: float,
    slope: PatternCost,
) -> PatternProbabilities:
    """Start from losses by magnitude; the limit is in units of `slope`, above the cheapest."""
    start = allocate_patterns(losses, cost, budget)
    dense = slope({})
    costs = [[slope({name: p}) - dense for p in patterns] for name, patterns in losses.items()]
    lowest = [min(row) for row in costs]
    return PatternProbabilities(
        [[c - low for c in row] for row, low in zip(costs, lowest, strict=True)],
        [list(patterns.values()) for patterns in losses.values()],
        slope(start) * budget / cost(start) - dense - sum(lowest),
    )


def _cache(cost: PatternCost) -> PatternCost:
    """Compute the cost of the same patterns once; dense layers are left out of the key."""

    @cache
    def cached(patterns: frozenset[tuple[str, Pattern]]) -> float:
        return cost(dict(patterns))

    return lambda patterns: cached(
        frozenset((name, p) for name, p in patterns.items() if not p.is_dense)
    )
