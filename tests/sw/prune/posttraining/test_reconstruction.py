"""Reconstruction: exact patterns, never worse than magnitude, nothing else changes."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import PruneError, ScorePruner, all_convolutions_but_first
from systolith.prune.posttraining import (
    ReconstructingPruner,
    measure_output_moments,
    reconstruct_layer,
    reconstruction_losses,
)
from tests.sw.prune.posttraining.layer_cases import CASES, TWO_OF_FOUR, images


def mean_square_change(layer: nn.Module, other: nn.Module, given: Tensor) -> float:
    """Squared difference of outputs, per position, added up over filters, in float64."""
    layer, other = deepcopy(layer).double(), deepcopy(other).double()
    with torch.no_grad():
        change = (layer(given.double()) - other(given.double())).square()
    return float(change.movedim(1, -1).flatten(0, -2).sum(1).mean())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_no_layer_is_worse_than_its_mask_by_magnitude(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    layer, pattern = deepcopy(CASES[name][0]), CASES[name][1]
    layer.reset_parameters()
    model, given = nn.Sequential(layer), images(seed=seed)
    dense, by_magnitude = deepcopy(model), deepcopy(model)
    ScorePruner(patterns={"0": pattern}).masks(by_magnitude).apply_(by_magnitude)
    masks = ReconstructingPruner(patterns={"0": pattern}, images=given).prune_(model)
    assert not list(masks._problems())
    assert not layer.get_parameter("weight").detach()[~masks["0.weight"]].any()
    if isinstance(layer, nn.Linear):
        given = given.flatten(0, 2)
    error = mean_square_change(dense[0], model[0], given)
    assert error < mean_square_change(dense[0], by_magnitude[0], given)


def test_errors_are_those_of_the_outputs() -> None:
    layer, pattern = CASES["conv"]
    model, given = nn.Sequential(layer), images()
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    moments = measure_output_moments(model, model, {"0": 1}, given).without_bias(bias)
    result = reconstruct_layer(weight, moments, pattern)
    other, nothing = deepcopy(layer), deepcopy(layer)
    with torch.no_grad():
        other.get_parameter("weight").copy_(result.weight)
        nothing.get_parameter("weight").zero_()
    whole = mean_square_change(layer, nothing, given)
    assert result.error == pytest.approx(mean_square_change(layer, other, given) / whole, rel=1e-4)
    assert result.error < result.magnitude_error
    losses = reconstruction_losses(model, {"0": [pattern]}, given)
    assert losses["0"][Pattern()] == 0.0
    assert losses["0"][pattern] == pytest.approx(result.error, rel=1e-3)


def test_layers_are_pruned_on_what_the_pruned_network_gives_them() -> None:
    model, given = DigitsCNN().eval(), torch.rand(80, 1, 8, 8)
    patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(2, 8)))
    before = deepcopy(model.state_dict())
    pruner = ReconstructingPruner(patterns=dict(reversed(patterns.items())), images=given)
    again, dense = deepcopy(model), deepcopy(model)
    masks = pruner.prune_(model)
    assert set(masks) == {"conv2.weight", "conv3.weight"} and masks.density == 0.25
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) != (name in masks), name
    moments = measure_output_moments(model, dense, {"conv3": 1}, given).without_bias(None)
    alone = reconstruct_layer(before["conv3.weight"], moments, patterns["conv3"])
    assert torch.equal(model.conv3.weight, alone.weight)
    layers = dict(pruner.layers_(again))
    assert list(layers) == ["conv2", "conv3"]
    assert all(layer.error < layer.magnitude_error for layer in layers.values())
    assert torch.equal(again.conv2.weight, model.conv2.weight)
    wrong = reconstruct_layer(
        before["conv3.weight"],
        measure_output_moments(dense, dense, {"conv3": 1}, given).without_bias(None),
        patterns["conv3"],
    )
    assert not torch.equal(model.conv3.weight, wrong.weight)


def test_frozen_weights_are_only_masked_by_magnitude() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1))
    model[0].weight.requires_grad_(False)
    kept, patterns = deepcopy(model), {"0": TWO_OF_FOUR, "1": TWO_OF_FOUR}
    expected = ScorePruner(patterns=patterns).masks(kept)["0.weight"]
    masks = ReconstructingPruner(patterns=patterns, images=images()).prune_(model)
    assert torch.equal(masks["0.weight"], expected)
    assert torch.equal(model[0].weight, kept[0].weight * expected)
    assert not torch.equal(model[1].weight, kept[1].weight * masks["1.weight"])


def test_a_float64_network_and_a_layer_without_signal_are_pruned() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1)).double()
    with torch.no_grad():
        model[0].bias.fill_(-1e9)
    weight = model[2].weight.detach().clone()
    pruner = ReconstructingPruner(patterns={"2": TWO_OF_FOUR}, images=images())
    masks = pruner.prune_(model)
    by_magnitude = ScorePruner(patterns={"2": TWO_OF_FOUR})
    with torch.no_grad():
        model[2].weight.copy_(weight)
    assert torch.equal(masks["2.weight"], by_magnitude.masks(model)["2.weight"])


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 3, 1))
    before = deepcopy(model.state_dict())
    with pytest.raises(PruneError, match=r"^reconstruction needs damping above 0 .*, got inf$"):
        ReconstructingPruner(patterns={}, images=images(), damping=float("inf"))
    three = Pattern(select=KOutOfN(1, 3))
    with pytest.raises(PruneError, match="divisible by 3"):
        ReconstructingPruner(patterns={"0": TWO_OF_FOUR, "1": three}, images=images()).prune_(model)
    with pytest.raises(PruneError, match="must name a layer of 0, 1, got '2'"):
        ReconstructingPruner(patterns={"2": three}, images=images()).prune_(model)
    with pytest.raises(PruneError, match=r"^reconstruction needs images, got none$"):
        ReconstructingPruner(patterns={"0": TWO_OF_FOUR}, images=images()[:0]).prune_(model)
    with pytest.raises(PruneError, match=r"^images of shape \(2, 3, 8, 8\) do not fit the model: "):
        ReconstructingPruner(patterns={"0": TWO_OF_FOUR}, images=torch.rand(2, 3, 8, 8)).prune_(
            model
        )
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_model_whose_later_inputs_are_not_finite_is_unchanged() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
    with torch.no_grad():
        model[1].weight.fill_(torch.nan)
    before = deepcopy(model.state_dict())
    pruner = ReconstructingPruner(patterns={"0": TWO_OF_FOUR, "2": TWO_OF_FOUR}, images=images())
    with pytest.raises(PruneError, match=r"^inputs of '2' must be finite"):
        pruner.prune_(model)
    assert torch.equal(before["0.weight"], model[0].weight)
    with torch.no_grad():
        model[2].weight.fill_(torch.nan)
    with pytest.raises(PruneError, match=r"^weights of '2' must be finite$"):
        pruner.prune_(model)


def test_damping_that_is_too_small_is_named() -> None:
    model, given = nn.Sequential(nn.Conv2d(4, 4, 1)), torch.ones(2, 4, 2, 2)
    given[:, 3] = 0
    pruner = ReconstructingPruner(patterns={"0": TWO_OF_FOUR}, images=given, damping=1e-300)
    with pytest.raises(PruneError, match=r"^reconstruction of '0' needs more damping, got 1e-300$"):
        pruner.prune_(model)
