"""Coefficients against the exact additive model and numpy; filters that do nothing rank lowest."""

import re
from collections.abc import Mapping
from math import isnan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from systolith.models import DigitsCNN
from systolith.prune import PruneError
from systolith.prune.filters import find_channel_groups
from systolith.prune.search import (
    RIDGES,
    EvaluationSplit,
    FilterLosses,
    GateEvaluator,
    LinearFilterEnsemble,
    Loss,
    fit_additive_model,
    sample_filter_masks,
)


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_recovers_an_exactly_additive_loss() -> None:
    masks = torch.rand(40, 12, generator=torch.Generator().manual_seed(0)) < 0.8
    coefficients = _random(1, 12)
    losses = 0.75 + masks.double() @ coefficients
    model = fit_additive_model(masks, losses, ridge=0.0)
    torch.testing.assert_close(model.coefficients, coefficients, rtol=1e-12, atol=1e-12)
    assert model.intercept == pytest.approx(0.75, abs=1e-12)
    assert model.explained == pytest.approx(1.0, abs=1e-12)


def test_recovers_whole_numbers_from_all_masks() -> None:
    """Two units, all four masks: the coefficients are differences of means, to the last bit."""
    masks = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.bool)
    model = fit_additive_model(masks, torch.tensor([8.0, 5.0, 10.0, 7.0]), ridge=0.0)
    torch.testing.assert_close(model.coefficients, torch.tensor([2.0, -3.0]).double())
    assert model.intercept == pytest.approx(8.0)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.integers(0, 20), st.floats(0.01, 100), st.integers(0, 1000))
def test_equals_the_closed_form_in_numpy(units: int, more: int, ridge: float, seed: int) -> None:
    masks = torch.rand(units + more, units, generator=torch.Generator().manual_seed(seed)) < 0.6
    losses = _random(seed, units + more)
    model = fit_additive_model(masks, losses, ridge)
    # All at once, intercept as a column of ones that is not penalised.
    design = np.hstack([np.ones((len(masks), 1)), masks.numpy().astype(float)])
    penalty = ridge * np.diag([0.0, *[1.0] * units])
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ losses.numpy())
    np.testing.assert_allclose(model.coefficients.numpy(), solution[1:], rtol=1e-8, atol=1e-8)
    assert model.intercept == pytest.approx(solution[0], rel=1e-8, abs=1e-8)


def test_explained_is_the_share_of_variance() -> None:
    masks = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.bool)
    model = fit_additive_model(masks, torch.tensor([0.0, 0.0, 0.0, 1.0]), ridge=0.0)
    assert model.explained == pytest.approx(2 / 3)
    assert fit_additive_model(masks, torch.ones(4)).explained == 1.0


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(2, 9), st.floats(0.01, 100), st.integers(0, 1000))
def test_held_out_errors_are_those_of_fits_without_each_mask(
    units: int, more: int, ridge: float, seed: int
) -> None:
    masks = torch.rand(units + more, units, generator=torch.Generator().manual_seed(seed)) < 0.6
    losses = _random(seed, units + more)
    predictions, means = [], []
    for i in range(len(masks)):
        others = torch.arange(len(masks)) != i
        model = fit_additive_model(masks[others], losses[others], ridge)
        predictions.append(model.intercept + masks[i].double() @ model.coefficients)
        means.append(losses[others].mean())
    unexplained = (losses - torch.stack(predictions)).square().sum()
    expected = 1 - unexplained / (losses - torch.stack(means)).square().sum()
    assert fit_additive_model(masks, losses, ridge).held_out == pytest.approx(
        float(expected), abs=1e-8
    )


def test_cross_validation_chooses_the_ridge_that_predicts_best() -> None:
    """Noise needs a strong penalty; without noise, the weakest predicts best."""
    masks = torch.rand(60, 30, generator=torch.Generator().manual_seed(0)) < 0.8
    additive = masks.double() @ _random(1, 30)
    strength = float((masks.double() - masks.double().mean(0)).square().sum() / 30)
    for losses, few, many in (
        (additive, 0, 0),
        (additive + 3 * _random(2, 60), 0.1, 300),
    ):
        chosen = fit_additive_model(masks, losses)
        assert min(RIDGES) * strength <= chosen.ridge + 1e-9
        assert few * strength <= chosen.ridge <= max(many * strength, min(RIDGES) * strength + 1e-9)
        held_out = [
            fit_additive_model(masks, losses, ratio * strength).held_out for ratio in RIDGES
        ]
        assert chosen.held_out == pytest.approx(max(held_out))


def test_pure_noise_is_not_explained_though_a_fit_without_ridge_seems_to() -> None:
    masks = torch.rand(40, 30, generator=torch.Generator().manual_seed(0)) < 0.8
    fitted = fit_additive_model(masks, _random(3, 40), ridge=0.0)
    assert fitted.explained > 0.5 and fitted.held_out < -0.5
    assert abs(fit_additive_model(masks, _random(3, 40)).held_out) < 0.1


def test_an_undetermined_prediction_is_nan() -> None:
    masks = torch.tensor([[1, 0], [1, 1], [1, 0]], dtype=torch.bool)
    fitted = fit_additive_model(masks, torch.tensor([1.0, 2.0, 1.5]), ridge=0.0)
    assert isnan(fitted.held_out)


def test_a_unit_that_is_always_there_has_no_coefficient() -> None:
    masks = torch.tensor([[1, 0], [1, 1], [1, 0]], dtype=torch.bool)
    model = fit_additive_model(masks, torch.tensor([1.0, 2.0, 1.0]), ridge=0.0)
    torch.testing.assert_close(model.coefficients, torch.tensor([0.0, 1.0]).double())


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.floats(0.05, 0.95),
    st.integers(0, 1000),
    st.data(),
)
def test_masks_hold_only_what_is_left_and_never_nothing(
    sizes: list[int], keep: float, seed: int, data: st.DataObject
) -> None:
    kept = {}
    for number, size in enumerate(sizes):
        bits = data.draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any))
        kept[str(number)] = torch.tensor(bits)
    masks = sample_filter_masks(kept, 50, keep, torch.Generator().manual_seed(seed))
    for group, mask in masks.items():
        assert mask.shape == (50, len(kept[group]))
        assert not (mask & ~kept[group]).any()
        assert mask.any(1).all()


def test_each_unit_is_dropped_equally_often() -> None:
    kept = {"a": torch.ones(20, dtype=torch.bool), "b": torch.ones(9, dtype=torch.bool)}
    for masks in sample_filter_masks(kept, 60, 0.9, torch.Generator().manual_seed(0)).values():
        assert ((~masks).sum(0) == 6).all()


def test_logarithms_keep_a_broken_mask_from_deciding() -> None:
    """Losses are products; masks without unit 0 break the network."""
    factors = torch.tensor([100.0, *[1.1] * 5, *[1.01] * 5], dtype=torch.float64)

    def losses(masks: Mapping[str, Tensor]) -> Tensor:
        return torch.where(masks["a"], 1.0, factors).prod(1)

    kept = {"a": torch.ones(11, dtype=torch.bool)}
    options: dict[str, Any] = {"keep": 0.8, "per_unit": 3.0}
    scores = LinearFilterEnsemble(**options).scores(losses, kept)
    assert scores["a"][0] > scores["a"][1:6].min() > scores["a"][6:].max()
    assert scores.held_out > 0.95
    plain = LinearFilterEnsemble(log=False, **options).scores(losses, kept)
    assert plain["a"][1:6].min() < plain["a"][6:].max()


def test_losses_of_zero_are_fitted_as_they_are() -> None:
    _, additive = _additive({"a": -torch.arange(1.0, 6.0, dtype=torch.float64)})
    kept = {"a": torch.ones(5, dtype=torch.bool)}

    def losses(masks: Mapping[str, Tensor]) -> Tensor:
        return additive(masks) - 5 + 15  # 0 for the whole network

    ensemble = LinearFilterEnsemble(keep=0.6, per_unit=4.0, ridge=0.0)
    assert ensemble.scores(losses, kept)["a"].argsort().tolist() == [0, 1, 2, 3, 4]


def test_units_are_drawn_by_themselves_with_their_probability() -> None:
    kept = {"a": torch.ones(20, dtype=torch.bool)}
    masks = sample_filter_masks(kept, 4000, 0.7, torch.Generator().manual_seed(0))["a"].double()
    assert (masks.mean(0) - 0.7).abs().max() < 0.04  # five standard deviations
    off_diagonal = torch.corrcoef(masks.T) - torch.eye(20)
    assert off_diagonal.abs().max() < 0.09


def _additive(truth: Mapping[str, Tensor]) -> tuple[list[dict[str, Tensor]], FilterLosses]:
    calls: list[dict[str, Tensor]] = []

    def losses(masks: Mapping[str, Tensor]) -> Tensor:
        calls.append(dict(masks))
        return 5 + torch.stack([mask.double() @ truth[name] for name, mask in masks.items()]).sum(0)

    return calls, losses


@pytest.mark.parametrize("per_layer", [False, True])
def test_scores_are_what_each_unit_takes_from_the_loss(per_layer: bool) -> None:
    truth = {"a": _random(0, 5), "b": _random(1, 7)}
    kept = {"a": torch.tensor([1, 1, 0, 1, 1]).bool(), "b": torch.ones(7, dtype=torch.bool)}
    calls, losses = _additive(truth)
    ensemble = LinearFilterEnsemble(
        log=False, ridge=0.0, keep=0.6, per_unit=4.0, per_layer=per_layer
    )
    scores = ensemble.scores(losses, kept)
    for group in truth:
        there = kept[group]
        torch.testing.assert_close(scores[group][there], -truth[group][there], rtol=1e-9, atol=1e-9)
        assert (scores[group][~there] == -torch.inf).all()
    if per_layer:
        assert [list(call) for call in calls] == [["a"], ["b"]]
        assert [len(next(iter(call.values()))) for call in calls] == [16, 28]
    else:
        assert [list(call) for call in calls] == [["a", "b"]]
        assert len(calls[0]["a"]) == 44


def test_the_same_seed_gives_the_same_scores() -> None:
    _, losses = _additive({"a": _random(0, 6)})
    kept = {"a": torch.ones(6, dtype=torch.bool)}

    def noisy(masks: Mapping[str, Tensor]) -> Tensor:
        return losses(masks) + masks["a"].double().prod(1)

    runs = [LinearFilterEnsemble(keep=0.7).scores(noisy, kept, seed)["a"] for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def _learned(model: nn.Module, *shape: int) -> EvaluationSplit:
    """Images labelled by the network itself, so that every filter that matters is needed."""
    images = torch.randn(32, *shape, generator=torch.Generator().manual_seed(5))
    labels = model.eval()(images).argmax(1)
    return EvaluationSplit(images=images, labels=labels, loss=Loss.CROSS_ENTROPY)


def _ranks(model: nn.Module, split: EvaluationSplit, per_layer: bool) -> dict[str, Tensor]:
    groups = [group for group in find_channel_groups(model, split.images) if group.removable]
    kept = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
    ensemble = LinearFilterEnsemble(keep=0.95, per_unit=6, per_layer=per_layer)
    return ensemble.scores(GateEvaluator(model, groups, split), kept)


@pytest.mark.parametrize("per_layer", [False, True])
def test_a_filter_without_readers_scores_near_zero(
    per_layer: bool,
) -> None:
    model = DigitsCNN()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data *= 2
    model.conv2.weight.data[:, 5] = 0  # nothing reads filter 5 of conv1 any more
    scores = _ranks(model, _learned(model, 1, 8, 8), per_layer)
    assert abs(scores["conv1"][5]) < 0.1 * scores["conv1"].abs().max()


def test_a_planted_unimportant_neuron_of_a_fully_connected_network() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    # Neurons that matter much, one by one, and one that does not.
    model[2].weight.data *= 10
    model[2].weight.data[:, 3] = 0
    split = _learned(model, 6)
    scores = _ranks(model, split, per_layer=False)
    assert list(scores) == ["0"]
    assert abs(scores["0"][3]) < 0.1 * scores["0"].max()
    assert scores["0"].max() > 0


def test_refuses_too_few_masked_networks_and_wrong_shapes() -> None:
    message = (
        "an additive model of 5 units needs at least as many masked networks, better 2 to 5 times "
        "as many, got 4"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        fit_additive_model(torch.ones(4, 5, dtype=torch.bool), torch.zeros(4))
    message = (
        "3 problems:\n  - an additive model needs masks of shape (N, F) and losses of shape (N,), "
        "got (4, 5) and (3,)\n  - an additive model needs finite losses, got nan"
        "\n  - ridge must be at least 0, got -1"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        fit_additive_model(
            torch.ones(4, 5, dtype=torch.bool), torch.tensor([0.0, torch.nan, 1.0]), -1
        )
    message = (
        "3 problems:\n  - keep must lie between 0 and 1, got 1"
        "\n  - an ensemble needs at least 1 masked network for each unit, better 3 to 5, "
        "got per_unit=0.5\n  - ridge must be at least 0, got -2"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LinearFilterEnsemble(keep=1, per_unit=0.5, ridge=-2)


def test_refuses_groups_without_filters() -> None:
    _, losses = _additive({})
    with pytest.raises(PruneError, match="^an ensemble needs at least one group of filters"):
        LinearFilterEnsemble().scores(losses, {})
    message = (
        "2 problems:\n  - an ensemble needs at least one unit in group 'a', got none"
        "\n  - kept units of group 'b' must be bool of shape (size,), "
        "got torch.float32 of shape (2,)"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LinearFilterEnsemble().scores(
            losses, {"a": torch.zeros(2, dtype=torch.bool), "b": torch.ones(2)}
        )
