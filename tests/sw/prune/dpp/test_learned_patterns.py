"""Learned patterns: exact at every step, within the budget at the end, denser where it matters."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.data import Dataset
from systolith.foundation import no_progress
from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron, Strided
from systolith.prune import (
    LearnedPatterns,
    MaskSet,
    PruneError,
    WeightSparsifier,
    allocate_patterns,
    magnitude_losses,
    weight_cost,
)
from systolith.quant import QuantConfig, prepare, quantized_names
from systolith.train import EpochCallback, EpochProgress, fit

DENSE = Pattern()
HALVES = tuple(Pattern(select=KOutOfN(k, 8)) for k in (4, 2, 1))


class _Branches(nn.Module):
    """Two layers with different inputs; the weights of each forward pass are recorded."""

    def __init__(self, inputs: int = 16, outputs: int = 4) -> None:
        super().__init__()
        self.left = nn.Linear(inputs, outputs, bias=False)
        self.right = nn.Linear(inputs, outputs, bias=False)
        self.seen: list[dict[str, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        names = ("left", "right")
        if self.training:
            self.seen.append({name: getattr(self, name).weight.detach().clone() for name in names})
        left, right = images.flatten(1).chunk(2, dim=1)
        y: Tensor = self.left(left) + self.right(right)
        return y


def _kept(model: nn.Module) -> Callable[[Mapping[str, Pattern]], float]:
    return weight_cost(model, torch.zeros(1, 1, 4, 8), macs=False)


def _learned(model: nn.Module, budget: float = 64.0, **settings: object) -> LearnedPatterns:
    candidates = {"left": HALVES, "right": HALVES}
    return LearnedPatterns(model, candidates, cost=_kept(model), budget=budget, **settings)  # type: ignore[arg-type]


def _data(seed: int = 0, count: int = 128) -> Dataset:
    """Labels depend on all inputs of the left branch, and on none of the right one."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 4, 8, generator=generator)
    rule = torch.randn(16, 4, generator=generator)
    labels = (images.flatten(1)[:, :16] @ rule).argmax(1)
    return Dataset(
        name="one side",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )


def _seeded(seed: int = 0) -> _Branches:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _Branches()


def _misleading() -> _Branches:
    """By magnitude the left branch seems unimportant: few of its weights are large."""
    model = _seeded()
    with torch.no_grad():
        model.right.weight.sign_().mul_(0.2)
        model.left.weight[:, 1:8] *= 0.1
        model.left.weight[:, 9:] *= 0.1
    return model


CANDIDATES = {
    "weights": HALVES,
    "kinds": (
        Pattern(select=KOutOfN(1, 4, Granularity.KERNEL)),
        Pattern(select=KOutOfN(3, 8, shared_by=2)),
        Pattern(select=PerNeuron(5)),
    ),
    "taps": (
        Pattern(taps=Strided(2, (0, 1) * 4)),
        Pattern(select=KOutOfN(1, 4), taps=Strided(3, (0, 0, 0, 0, 1, 1, 1, 1))),
    ),
}


@pytest.mark.parametrize("kind", CANDIDATES)
def test_masks_are_exact_at_every_step_and_patterns_vary(kind: str) -> None:
    model = nn.Sequential(nn.Conv2d(8, 6, 3, bias=False), nn.Conv2d(6, 4, 1))
    images = torch.rand(2, 8, 3, 3)
    cost = weight_cost(model, images, macs=True)
    learned = LearnedPatterns(
        model,
        {"0": CANDIDATES[kind]},
        cost=cost,
        budget=0.6 * cost({}),
        noise=1.0,
        decide_at=0.5,
    )
    dense = model[0].weight.detach().clone()
    shape, drawn = (6, 8, 3, 3), set()
    for step in range(30):
        with learned.step(model, step / 30):
            mask = model[0].weight.detach() != 0
            model(images).square().sum().backward()
        fitting = [
            pattern
            for pattern in (DENSE, *CANDIDATES[kind])
            if not any(pattern.violations(mask.numpy().reshape(shape)))
        ]
        assert fitting
        drawn.add(fitting[0])
        assert torch.equal(model[0].weight.detach(), dense), "dense weights are back"
        assert not model[0].weight.grad[~mask].any()
        model.zero_grad()
    assert len(drawn) > 1
    masks = learned.masks(model)
    MaskSet(dict(masks), masks.patterns)
    assert cost(learned.patterns()) <= 0.6 * cost({})


def test_the_layer_that_matters_stays_denser() -> None:
    """By magnitude the choice is the opposite: the weights of one layer are equally large."""
    model = _misleading()
    budget = 64.0 + 8.0
    losses = magnitude_losses(model, {"left": HALVES, "right": HALVES})
    by_magnitude = allocate_patterns(losses, _kept(model), budget)
    assert "right" not in by_magnitude and by_magnitude["left"] == HALVES[-1]
    learned = _learned(model, budget)
    fit(model, _data(), epochs=20, learning_rate=0.02, batch_size=16, sparsifier=learned)
    assert learned.patterns() == {"right": HALVES[-1]}
    probabilities = learned.probabilities()
    assert probabilities["left"][DENSE] > 0.5 > probabilities["right"][DENSE]


def test_without_training_magnitude_chooses() -> None:
    model = _seeded()
    losses = magnitude_losses(model, {"left": HALVES, "right": HALVES})
    assert _learned(model, 50.0).patterns() == allocate_patterns(losses, _kept(model), 50.0)


def test_a_layer_without_any_gradient_is_pruned_like_others() -> None:
    model = _seeded()
    learned = _learned(model, 20.0)
    with learned.step(model, 0.0):
        model(torch.zeros(2, 1, 4, 8)).sum().backward()
    assert _kept(model)(learned.patterns()) <= 20


def test_expected_cost_is_in_the_budget_while_patterns_are_drawn() -> None:
    model, data = _seeded(), _data()
    cost, learned = _kept(model), _learned(model, 64.0, decide_at=0.8)
    costs = []

    def note(progress: EpochProgress) -> None:
        costs.append(
            sum(
                probabilities * (cost({name: pattern}) - cost({}))
                for name, options in learned.probabilities().items()
                for pattern, probabilities in options.items()
            )
        )

    fit(model, data, epochs=6, batch_size=16, sparsifier=learned, progress=note)
    assert len(costs) == 6 and max(costs) + cost({}) <= 64 + 1e-6


def test_a_limit_follows_the_slope_where_the_cost_is_no_sum() -> None:
    """The cost is that of the slower layer; kept weights, in any unit, are its slope."""
    model = _seeded()
    kept = _kept(model)

    def slowest(patterns: Mapping[str, Pattern]) -> float:
        return max(kept({"left": patterns.get(name, DENSE)}) - 64 for name in ("left", "right"))

    candidates = {"left": HALVES, "right": HALVES}
    learned = LearnedPatterns(
        model, candidates, cost=slowest, budget=16.0, slope=lambda p: 1000 * kept(p), decide_at=0.5
    )
    fit(model, _data(), epochs=4, batch_size=16, sparsifier=learned)
    assert slowest(learned.patterns()) == 16.0


def test_patterns_rest_once_decided_then_masks_then_weights_settle() -> None:
    model, data = _seeded(), _data()
    learned = _learned(model, noise=1.0, decide_at=0.25, draw_until=0.5)
    model.seen.clear()
    fit(model, data, epochs=8, batch_size=16, sparsifier=learned)
    kept = [
        tuple(int((weight != 0).sum()) for weight in seen.values()) for seen in model.seen[: 8 * 8]
    ]
    masks = [tuple((weight != 0).flatten().tolist() for weight in s.values()) for s in model.seen]
    assert len(set(kept[:16])) > 1 and len(set(kept[16:])) == 1
    assert len(set(map(str, masks[16:32]))) > 1 and len(set(map(str, masks[32:64]))) == 1
    final = learned.masks(model)
    assert [int(final[f"{name}.weight"].sum()) for name in ("left", "right")] == list(kept[-1])


class _Interruption(Exception):
    pass


def _fresh() -> tuple[_Branches, LearnedPatterns]:
    model = _seeded()
    return model, _learned(model, noise=1.0, decide_at=0.5, seed=3)


@pytest.mark.parametrize("epoch", [2, 5], ids=["while choosing", "decided"])
def test_resumed_training_equals_uninterrupted(epoch: int, tmp_path: Path) -> None:
    def train(pair: tuple[_Branches, LearnedPatterns], progress: EpochCallback, name: str) -> None:
        model, learned = pair
        fit(
            model,
            _data(),
            epochs=8,
            batch_size=16,
            sparsifier=learned,
            checkpoint=tmp_path / name,
            progress=progress,
        )

    def stop(progress: EpochProgress) -> None:
        if progress.epoch == epoch + 1:
            raise _Interruption

    straight, resumed = _fresh(), _fresh()
    train(straight, no_progress, "straight")
    with pytest.raises(_Interruption):
        train(_fresh(), stop, "resumed")
    train(resumed, no_progress, "resumed")
    (model, learned), (other, other_learned) = straight, resumed
    weights = other.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    masks, other_masks = learned.masks(model), other_learned.masks(other)
    assert masks.patterns == other_masks.patterns
    assert all(torch.equal(masks[name], other_masks[name]) for name in masks)
    assert learned.probabilities() == other_learned.probabilities()


def test_a_state_replaces_what_was_chosen_before() -> None:
    model, other = _seeded(), _misleading()
    learned, changed = _learned(model, 72.0), _learned(other, 72.0)
    assert learned.patterns() != changed.patterns()
    changed.load_state_dict(learned.state_dict())
    assert learned.patterns() == changed.patterns()


def test_quantized_models_learn_like_others() -> None:
    model, images = (
        nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)),
        torch.rand(16, 8, 2, 2),
    )
    quantized = prepare(model.eval(), images, QuantConfig(weight_bits=4))
    name = quantized_names(quantized)["2"]
    cost = weight_cost(model, images, macs=False)
    learned = LearnedPatterns(
        quantized,
        {name: HALVES},
        cost=lambda patterns: cost({"2": patterns.get(name, DENSE)}),
        budget=64 + 8,
        decide_at=0.5,
    )
    assert isinstance(learned, WeightSparsifier)
    for step in range(10):
        with learned.step(quantized, step / 10):
            F.mse_loss(quantized(images), torch.zeros(16, 4, 2, 2)).backward()
    masks = learned.masks(quantized)
    quantized.freeze_masks_(MaskSet(dict(masks), masks.patterns))
    assert cost({"2": learned.patterns()[name]}) <= 64 + 8


def test_refuses_what_does_not_fit_all_at_once() -> None:
    model = _seeded()
    model.right.weight.requires_grad_(False)
    with pytest.raises(PruneError) as caught:
        LearnedPatterns(
            model,
            {"left": [Pattern(select=KOutOfN(1, 3))], "right": HALVES, "up": HALVES},
            cost=_kept(model),
            budget=-1,
            noise=-1,
            entropy=-2,
            temperature=(0, 1),
            decide_at=0.9,
            travel=-0.1,
        )
    assert list(caught.value.problems) == [
        "noise must be at least 0, got -1",
        "entropy must be at least 0, got -2",
        "decide_at must lie in 0..draw_until=0.8, above 0, got 0.9",
        "budget must be positive, got -1",
        "temperature must be positive, got (0, 1)",
        "travel must be positive and finite, got -0.1",
        "1-out-of-3 pruning needs in_features divisible by 3, but layer 'left' has 16",
        "patterns are learned from gradients, but the weights of 'right' are frozen",
        "patterns must name a layer of left, right, got 'up'",
    ]


def test_a_budget_that_cannot_be_met_is_refused_before_training() -> None:
    with pytest.raises(
        PruneError, match=re.escape("budget of 15 cannot be met: the least cost is")
    ):
        _learned(_seeded(), 15.0)
