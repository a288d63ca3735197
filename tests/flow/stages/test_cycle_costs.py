"""Costs of budgets in cycles equal the planner's cycles."""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import pytest
import torch
from torch import nn

from systolith.compress import CycleBudget, PatternChoice, choose_patterns, pattern_budget
from systolith.data import load_digits
from systolith.frontend import lower
from systolith.models import DSCNN, DigitsCNN, ResNet8
from systolith.network import (
    Conv2d,
    Granularity,
    KOutOfN,
    Linear,
    Pattern,
    PerNeuron,
    Strided,
    WeightShape,
)
from systolith.plan import PlanError, choose_arrays, least_cycles, plan_network, workload_of
from systolith.prune import (
    LearnedPatterns,
    MaskSet,
    PruneError,
    ScorePruner,
    all_convolutions_but_first,
    prunable_layers,
)
from systolith.prune.decisions import weight_shape
from systolith.quant import prepare
from systolith.stages.cycle_costs import CycleCost
from systolith.train import fit

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def _choice(candidates: Sequence[Pattern], cycles: int, multipliers: int = 64) -> PatternChoice:
    budget = CycleBudget(cycles, partial(CycleCost, multipliers=multipliers))
    return PatternChoice(budget=budget, candidates=tuple(candidates))


@pytest.mark.parametrize("multipliers", [16, 64, 200])
@pytest.mark.parametrize("kept", [None, (4, 8), (1, 4)])
def test_cycles_are_those_of_the_plan(kept: tuple[int, int] | None, multipliers: int) -> None:
    model = DigitsCNN().eval()
    patterns = (
        {} if kept is None else all_convolutions_but_first(model, Pattern(select=KOutOfN(*kept)))
    )
    masks = ScorePruner(patterns=patterns).masks(model)
    masks.apply_(model)
    plan = plan_network(lower(prepare(model, IMAGES, None, masks)), multipliers=multipliers)
    assert CycleCost(model, IMAGES, multipliers)(patterns) == plan.cycles_per_frame


def _pattern(kind: str, shape: WeightShape) -> Pattern:
    """Draw a pattern of a kind for weights; dense where it does not fit."""
    _, channels, *kernel = shape
    strided = Strided(3, tuple(channel % 3 for channel in range(channels)))
    pattern = {
        "1 of 4": Pattern(select=KOutOfN(1, 4)),
        "kernels": Pattern(select=KOutOfN(1, 4, Granularity.KERNEL)),
        "neurons": Pattern(select=PerNeuron(prod(shape[1:]) // 4 or 1)),
        "strided": Pattern(taps=strided),
    }[kind]
    depthwise = channels == 1 and kind == "neurons"
    return Pattern() if depthwise or any(pattern.problems(shape)) else pattern


@pytest.mark.parametrize("kind", ["1 of 4", "kernels", "neurons", "strided"])
@pytest.mark.parametrize("factory", [ResNet8, DSCNN], ids=["residual", "depthwise"])
def test_every_kind_of_layer_and_pattern_costs_what_the_plan_says(
    factory: Callable[[], nn.Module], kind: str
) -> None:
    model = factory().eval()
    size = (1, 49, 10) if factory is DSCNN else (3, 32, 32)
    images = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    layers = list(prunable_layers(model).items())[1:-1]
    patterns = {name: _pattern(kind, weight_shape(layer.weight)) for name, layer in layers}
    patterns = {name: pattern for name, pattern in patterns.items() if not pattern.is_dense}
    assert len(patterns) >= 4
    masks = ScorePruner(patterns=patterns).masks(model)
    masks.apply_(model)
    network = lower(prepare(model, images, None, masks))
    works = [
        workload_of(network, layer)
        for layer in network.layers
        if isinstance(layer, Conv2d | Linear)
    ]
    arrays = choose_arrays(works, {}, 64)
    slowest = max(least_cycles(work, arrays[work.name]) for work in works)
    assert CycleCost(model, images, 64)(patterns) == slowest


@pytest.mark.parametrize("kind", ["none", "1 of 4", "kernels", "neurons"])
def test_grouped_convolutions_cost_what_the_plan_says(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2)).eval()
    patterns = {} if kind == "none" else {"2": _pattern(kind, (8, 4, 3, 3))}
    masks = ScorePruner(patterns=patterns).masks(model)
    masks.apply_(model)
    plan = plan_network(lower(prepare(model, IMAGES, None, masks)), multipliers=64)
    cost = CycleCost(model, IMAGES, 64)
    assert cost(patterns) == plan.cycles_per_frame
    if kind != "none":
        assert cost(patterns) < cost({})


def test_patterns_that_grouped_convolutions_cannot_have_are_no_candidates() -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2)).eval()
    candidates = [Pattern(taps=Strided(3, offsets)) for offsets in [(0, 1, 2, 0), (1, 1, 1, 1)]]
    budget = pattern_budget(model, IMAGES, _choice(candidates, 400))
    assert budget.candidates == {"2": candidates[1:]}


def test_a_budget_is_met_with_patterns_that_engines_compute() -> None:
    model, images = DSCNN().eval(), torch.rand(2, 1, 49, 10)
    cost = CycleCost(model, images, 64)
    candidates = [Pattern(select=PerNeuron(k)) for k in (2, 16)]
    budget = pattern_budget(model, images, _choice(candidates, int(cost({}) * 0.8)))
    patterns = choose_patterns(model, budget)
    assert 0 < cost(patterns) <= cost({}) * 0.8
    depthwise = [
        name for name, layer in prunable_layers(model).items() if layer.weight.shape[1] == 1
    ]
    assert patterns and not set(patterns) & set(depthwise[1:])
    with pytest.raises(PlanError, match="no engine computes 2 per neuron of a depthwise convolut"):
        cost({depthwise[-1]: candidates[0]})


@pytest.mark.parametrize("cycles", [700, 1100, 2500])
def test_learned_patterns_meet_the_planners_own_count(cycles: int) -> None:
    model, data = DigitsCNN(), load_digits()
    candidates = [Pattern(select=KOutOfN(k, 16)) for k in (8, 4, 3, 2, 1)]
    budget = pattern_budget(model, IMAGES, _choice(candidates, cycles))
    learned = LearnedPatterns(
        model, budget.candidates, cost=budget.cost, budget=budget.limit, slope=budget.slope
    )
    fit(model, data, epochs=1, sparsifier=learned)
    masks = learned.masks(model)
    masks.apply_(model)
    checked = MaskSet(dict(masks), masks.patterns)
    plan = plan_network(lower(prepare(model, IMAGES, None, checked)), multipliers=64)
    assert plan.cycles_per_frame == budget.cost(learned.patterns()) <= cycles


def test_a_budget_means_the_same_under_other_names() -> None:
    model, pattern = DigitsCNN(), Pattern(select=KOutOfN(1, 8))
    own = pattern_budget(model, IMAGES, _choice([pattern], 2000))
    other = own.renamed({name: f"layers.{name}" for name in ("conv2", "conv3", "fc")})
    assert list(other.candidates) == ["layers.conv2", "layers.conv3", "layers.fc"]
    for name in own.candidates:
        renamed = {f"layers.{name}": pattern}
        assert other.cost(renamed) == own.cost({name: pattern})
        assert other.slope(renamed) == own.slope({name: pattern}) < own.slope({})


def test_an_impossible_number_of_cycles_is_refused() -> None:
    model, candidates = DigitsCNN(), [Pattern(select=KOutOfN(1, 8))]
    budget = pattern_budget(model, IMAGES, _choice(candidates, 10, multipliers=16))
    with pytest.raises(PruneError, match="budget of 10 cannot be met: the least cost is"):
        choose_patterns(model, budget)
