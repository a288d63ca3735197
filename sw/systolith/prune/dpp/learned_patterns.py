"""Which pattern each layer gets, learned with the masks and the weights, within a budget."""

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
from systolith.prune.dpp.mask_logits import Annealing
from systolith.prune.dpp.mask_statistics import MaskStatistics
from systolith.prune.dpp.pattern_probabilities import PatternProbabilities
from systolith.prune.errors import PruneError
from systolith.prune.masks import MaskSet
from systolith.prune.rules import check_patterns, prunable_layers

__all__ = ["LearnedPatterns"]


class LearnedPatterns:
    """Dynamic probabilistic pruning that draws the pattern of each layer, too.

    Every step draws one of its candidates for each layer, then a mask of that pattern as
    :class:`DPP` does. With g the gradient at ``mask * W``, what pattern q would do to the loss is,
    straight through, ``<g * W, mask_q>``: masks of all candidates are drawn, and those that differ
    in k only are nested, the k largest of the same noisy logits. From these scores
    :class:`PatternProbabilities` learns, so that the expected cost is in the budget at every step.

    From `decide_at` on, each layer has the pattern that is worth most within the budget, by the
    cost itself, and only masks are drawn; from `draw_until` on they rest, and weights settle.

    Parameters
    ----------
    model : nn.Module
        Its weights say where the odds of masks and patterns start.
    candidates : mapping of str to iterable of Pattern
        By layer name; dense is added.
    cost : PatternCost
        What the budget is about, such as cycles.
    budget : float
        Positive; the most that the network may cost.
    slope : PatternCost, optional
        Which way the cost goes where it is no sum over layers: one that is, such as MACs, to which
        `cost` is about proportional, in any unit. Default: `cost`.
    init, noise, entropy, temperature, draw_until, seed
        See :class:`DPP`; logits start by magnitude, as patterns are chosen for trained networks.
    decide_at : float
        Progress, above 0 and at most `draw_until`, from which on patterns rest.

    Raises
    ------
    PruneError
        If a pattern does not fit its layer, weights are frozen, or a number is out of range, all
        problems being listed; or if the budget cannot be met.

    Notes
    -----
    Masks: see :class:`DPP`. The limit in terms of `slope` is what the patterns that
    :func:`allocate_patterns` finds by magnitude have there, when what they leave of the budget is
    filled up in proportion.
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
        seed: int = 0,
    ) -> None:
        self._annealing = Annealing(temperature=temperature, draw_until=draw_until)
        options = {
            name: tuple(dict.fromkeys([Pattern(), *found])) for name, found in candidates.items()
        }
        problems = [
            f"{name} must be at least 0, got {value}"
            for name, value in (("noise", noise), ("entropy", entropy))
            if value is not None and value < 0
        ]
        problems += self._annealing.problems()
        if not 0 < decide_at <= draw_until:
            problems.append(
                f"decide_at must lie in 0..draw_until={draw_until}, above 0, got {decide_at}"
            )
        if budget <= 0:
            problems.append(f"budget must be positive, got {budget}")
        problems += dict.fromkeys(_misfits(model, options))
        if problems:
            raise PruneError(problems)
        self._decide_at, self._budget, self._options = decide_at, budget, options
        self._cost = _remembered(cost)
        slope = cost if slope is None else slope
        losses = magnitude_losses(model, options)
        start = allocate_patterns(losses, self._cost, budget)
        dense = slope({})
        costs = [[slope({name: p}) - dense for p in found] for name, found in options.items()]
        least = [min(found) for found in costs]
        self._odds = PatternProbabilities(
            [[cost - low for cost in found] for found, low in zip(costs, least, strict=True)],
            [[losses[name][p] for p in found] for name, found in options.items()],
            slope(start) * budget / self._cost(start) - dense - sum(least),
        )
        self._generator = torch.Generator().manual_seed(seed)
        layers = prunable_layers(model)
        self._layers = {
            name: LayerPatterns(found, layers[name].weight, noise=noise, entropy=entropy)
            for name, found in options.items()
        }
        for name, layer in self._layers.items():
            for family in layer.families.values():
                family.start_(self._generator, layers[name].weight, init)
        self._chosen: dict[str, Pattern] | None = None

    def parameters(self) -> list[nn.Parameter]:
        """Mask logits of all layers; odds of patterns are learned here."""
        return [
            family.logits.parameter
            for layer in self._layers.values()
            for family in layer.families.values()
        ]

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`Sparsifier.step`."""
        choosing = progress < self._decide_at
        drawing = self._annealing.draws_at(progress)
        if choosing:
            drawn = self._odds.draw(self._generator)
            patterns = {n: o[i] for (n, o), i in zip(self._options.items(), drawn, strict=True)}
        else:
            patterns = self.patterns()
        masks = self._masks(patterns, self._generator if drawing else None)
        with masks.applied(model):
            yield
        scores = []
        for name, layer in self._layers.items():
            weight = model.get_parameter(f"{name}.weight")
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            at_mask = gradient * weight.detach()
            pattern = patterns.get(name, Pattern())
            if choosing:
                scores.append(layer.scores(at_mask, pattern, self._generator))
            if drawing and (family := layer.family(pattern)) is not None:
                family.learn_(at_mask, self._annealing.temperature_at(progress))
            if (mask := masks.get(f"{name}.weight")) is not None:
                gradient.masked_fill_(~mask, 0.0)
        if choosing:
            self._odds.learn_(scores)
            self._chosen = None

    def masks(self, model: nn.Module) -> MaskSet:
        """Masks of :meth:`patterns`, without noise."""
        return self._masks(self.patterns(), None)

    def patterns(self) -> dict[str, Pattern]:
        """Patterns by layer, those that are worth most within the budget; without dense ones."""
        if self._chosen is None:
            losses = {
                name: {pattern: -value for pattern, value in zip(found, row, strict=False)}
                for (name, found), row in zip(
                    self._options.items(), self._odds.worth.tolist(), strict=True
                )
            }
            self._chosen = allocate_patterns(losses, self._cost, self._budget)
        return dict(self._chosen)

    def odds(self) -> dict[str, dict[Pattern, float]]:
        """Probability with which each candidate of each layer is drawn, while any is."""
        return {
            name: dict(zip(found, row, strict=False))
            for (name, found), row in zip(
                self._options.items(), self._odds.odds().tolist(), strict=True
            )
        }

    def statistics(self) -> dict[str, MaskStatistics]:
        """Confidence and diversity of masks by layer name, of those that are not dense."""
        found = {}
        for name, pattern in self.patterns().items():
            if (family := self._layers[name].family(pattern)) is not None:
                found[name] = family.logits.statistics()
        return found

    def state_dict(self) -> dict[str, Any]:
        """Odds, logits, and the state of the random generator."""
        return {
            "odds": self._odds.state_dict(),
            "logits": [parameter.detach().clone() for parameter in self.parameters()],
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state, with identical results."""
        self._odds.load_state_dict(state["odds"])
        for parameter, value in zip(self.parameters(), state["logits"], strict=True):
            parameter.detach().copy_(value)
        self._chosen = None
        self._generator.set_state(state["generator"])

    def _masks(self, patterns: Mapping[str, Pattern], generator: Generator | None) -> MaskSet:
        """Draw masks, or without a generator, make the final ones; dense layers have none."""
        sparse = {name: pattern for name, pattern in patterns.items() if not pattern.is_dense}
        return MaskSet.trusted(
            {f"{name}.weight": self._layers[name].mask(p, generator) for name, p in sparse.items()},
            {f"{name}.weight": pattern for name, pattern in sparse.items()},
        )


def _misfits(model: nn.Module, options: Mapping[str, tuple[Pattern, ...]]) -> Iterator[str]:
    """Why candidates cannot be learned; nothing if they can."""
    layers = prunable_layers(model)
    for name, patterns in options.items():
        for pattern in patterns:
            try:
                check_patterns(model, {name: pattern})
            except PruneError as error:
                yield from error.problems
        if name in layers and not layers[name].weight.requires_grad:
            yield f"patterns are learned from gradients, but the weights of '{name}' are frozen"


def _remembered(cost: PatternCost) -> PatternCost:
    """Ask for the same patterns once; dense layers make no difference."""

    @cache
    def known(patterns: frozenset[tuple[str, Pattern]]) -> float:
        return cost(dict(patterns))

    return lambda patterns: known(
        frozenset((name, p) for name, p in patterns.items() if not p.is_dense)
    )
