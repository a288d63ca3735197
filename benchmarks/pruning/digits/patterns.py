"""Patterns learned per layer against other patterns of the same budget, masks by DPP in all.

The budget is the MACs of a uniform pattern behind the first layer.
"""

from collections.abc import Mapping
from functools import partial
from random import Random
from statistics import mean

from torch import nn

from benchmarks.pruning.digits.bench import DigitsBench, Trial
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    DPP,
    LearnedPatterns,
    LogitInit,
    PatternCost,
    WeightSparsifier,
    allocate_patterns,
    magnitude_losses,
    weight_cost,
)

LAYERS = ("conv2", "conv3", "fc")
CANDIDATES = tuple(Pattern(select=KOutOfN(k, 16)) for k in (8, 6, 4, 3, 2, 1))
UNIFORM = {f"{k}of16": Pattern(select=KOutOfN(k, 16)) for k in (2, 3)}
DRAWS, SLACK = 1, 0.9
"""Random patterns per seed; they cost 0.9 to 1 times the budget."""

Patterns = Mapping[str, Pattern]


def learned(bench: DigitsBench, uniform: Pattern, *, again: bool) -> Mapping[str, float]:
    """Patterns that `LearnedPatterns` learns; if `again`, training begins anew with them."""
    model, cost, budget = _problem(bench, uniform)
    candidates = dict.fromkeys(LAYERS, CANDIDATES)
    sparsifier = LearnedPatterns(model, candidates, cost=cost, budget=budget, seed=bench.seed)
    row = _train(bench, sparsifier, cost)
    return given(bench, sparsifier.patterns(), cost) if again else row


def by_magnitude(bench: DigitsBench, uniform: Pattern) -> Mapping[str, float]:
    """Patterns by the magnitudes that they remove, as `allocate_patterns` chooses them."""
    model, cost, budget = _problem(bench, uniform)
    losses = magnitude_losses(model, dict.fromkeys(LAYERS, (Pattern(), *CANDIDATES)))
    return given(bench, allocate_patterns(losses, cost, budget), cost)


def equal(bench: DigitsBench, uniform: Pattern) -> Mapping[str, float]:
    """The same pattern in all layers but the first."""
    _, cost, _ = _problem(bench, uniform)
    return given(bench, dict.fromkeys(LAYERS, uniform), cost)


def drawn(bench: DigitsBench, uniform: Pattern) -> Mapping[str, float]:
    """Random patterns that use most of the budget; numbers are means over them."""
    _, cost, budget = _problem(bench, uniform)
    random = Random(bench.seed)
    rows: list[Mapping[str, float]] = []
    while len(rows) < DRAWS:
        patterns = {name: random.choice((Pattern(), *CANDIDATES)) for name in LAYERS}
        if SLACK * budget <= cost(patterns) <= budget:
            rows.append(given(bench, patterns, cost))
    return {name: mean(row[name] for row in rows) for name in rows[0]}


def given(bench: DigitsBench, patterns: Patterns, cost: PatternCost) -> Mapping[str, float]:
    """Train with DPP from magnitudes."""
    model = bench.trained()
    chosen = {name: pattern for name, pattern in patterns.items() if not pattern.is_dense}
    return _train(bench, DPP(model, chosen, init=LogitInit.MAGNITUDE, seed=bench.seed), cost)


def _problem(bench: DigitsBench, uniform: Pattern) -> tuple[nn.Module, PatternCost, float]:
    model = bench.trained()
    cost = weight_cost(model, bench.data.train_images[:2], macs=True)
    return model, cost, cost(dict.fromkeys(LAYERS, uniform))


def _train(
    bench: DigitsBench, sparsifier: WeightSparsifier, cost: PatternCost
) -> Mapping[str, float]:
    model = bench.trained()
    bench.fit(model, sparsifier=sparsifier)
    masks = sparsifier.masks(model)
    masks.apply_(model)
    patterns = {name.removesuffix(".weight"): p for name, p in masks.patterns.items()}
    kept = {name: patterns.get(name, Pattern()) for name in LAYERS}
    return {
        **bench.judge(model),
        "macs": cost(patterns) / cost({}),
        **{f"kept_{name}": _density(pattern) for name, pattern in kept.items()},
    }


def _density(pattern: Pattern) -> float:
    return pattern.select.k / 16 if isinstance(pattern.select, KOutOfN) else 1.0


TRIALS: Mapping[str, Trial] = {
    f"{way}-{name}": partial(trial, uniform=uniform)
    for name, uniform in UNIFORM.items()
    for way, trial in {
        "learned": partial(learned, again=False),
        "retrained": partial(learned, again=True),
        "magnitude": by_magnitude,
        "uniform": equal,
        "random": drawn,
    }.items()
}
