"""Pruning without training: from images to accuracy in a second, against its ablations."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from systolith.compress import (
    DPPPruning,
    FilterScorePruning,
    MacBudget,
    MagnitudePruning,
    OBSPruning,
    PatternChoice,
    Pruning,
    Trainer,
    WeightScore,
    check_prunings,
    compress_model,
    prune_model,
)
from systolith.data import Dataset, load_digits
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    LogitInit,
    MaskSet,
    PruneError,
    ScorePruner,
    all_convolutions_but_first,
    recalibrate_batch_norms_,
    remove_filters,
)
from systolith.train import Recipe, evaluate, fit

RECIPE = Recipe(float_epochs=0, prune_epochs=0, quantize_epochs=0)
ONE_OF_EIGHT = Pattern(select=KOutOfN(1, 8))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_digits(seed=0)


@pytest.fixture(scope="module")
def trained(data: Dataset) -> DigitsCNN:
    model = DigitsCNN(seed=0)
    fit(model, data, epochs=12)
    return model


def accuracy(model: nn.Module, data: Dataset) -> float:
    return evaluate(model, data.test_images, data.test_labels)


def prune(model: nn.Module, data: Dataset, pruning: Pruning) -> tuple[nn.Module, MaskSet]:
    pruned = prune_model(deepcopy(model), Trainer(data=data, recipe=RECIPE), [pruning])
    return pruned.model, pruned.masks


def test_reconstruction_beats_magnitude_with_recalibration_by_ten_points(
    trained: DigitsCNN, data: Dataset
) -> None:
    patterns = all_convolutions_but_first(trained, ONE_OF_EIGHT)
    obs, masks = prune(trained, data, OBSPruning(patterns=patterns))
    assert masks.density == 0.125 and masks.patterns["conv2.weight"] == ONE_OF_EIGHT
    assert not obs.get_parameter("conv2.weight").detach()[~masks["conv2.weight"]].any()
    magnitude, _ = prune(trained, data, MagnitudePruning(patterns=patterns))
    assert accuracy(obs, data) >= accuracy(magnitude, data) + 0.1


def test_batch_norms_follow_if_nothing_trains_afterwards(trained: DigitsCNN, data: Dataset) -> None:
    patterns = all_convolutions_but_first(trained, ONE_OF_EIGHT)
    masked = deepcopy(trained)
    ScorePruner(patterns=patterns).masks(masked).apply_(masked)
    recalibrated, _ = prune(trained, data, MagnitudePruning(patterns=patterns))
    assert torch.equal(recalibrated.get_parameter("conv2.weight"), masked.conv2.weight)
    assert accuracy(recalibrated, data) >= accuracy(masked, data) + 0.05
    whole, _ = prune(trained, data, MagnitudePruning(patterns={}))
    for name in ("bn1", "bn2", "bn3"):
        kept, now = (model.get_buffer(f"{name}.running_var") for model in (trained, whole))
        assert torch.allclose(kept, now, rtol=1e-5)


def test_consumers_are_reconstructed_after_filters_leave(trained: DigitsCNN, data: Dataset) -> None:
    pruning = FilterScorePruning(keep=MacBudget(0.3))
    plain, _ = prune(trained, data, replace(pruning, reconstruct=False))
    small, _ = prune(trained, data, pruning)
    assert accuracy(small, data) >= accuracy(plain, data) + 0.05


def test_filters_alone_leave_statistics_that_fit(trained: DigitsCNN, data: Dataset) -> None:
    trainer, pruning = Trainer(data=data, recipe=RECIPE), FilterScorePruning(keep=0.6)
    pruned = prune_model(deepcopy(trained), trainer, [replace(pruning, reconstruct=False)])
    (masks,) = pruned.filters
    small = remove_filters(trained, masks, data.train_images)
    first = masks.channel_masks()["bn1"]
    assert torch.allclose(
        pruned.model.get_buffer("bn1.running_mean"), trained.bn1.running_mean[first], atol=1e-6
    )
    again = deepcopy(small)
    recalibrate_batch_norms_(again, data.calibration_images)
    assert again.bn1.running_mean.shape == small.bn1.running_mean.shape


def test_wanda_scores_weights_by_their_inputs(trained: DigitsCNN, data: Dataset) -> None:
    patterns = all_convolutions_but_first(trained, ONE_OF_EIGHT)
    by_magnitude, by_inputs = (
        prune(trained, data, MagnitudePruning(patterns=patterns, score=score))[1]["conv2.weight"]
        for score in WeightScore
    )
    assert by_inputs.sum() == by_magnitude.sum() and not torch.equal(by_inputs, by_magnitude)


def test_a_budget_chooses_patterns_by_the_error_of_outputs(
    trained: DigitsCNN, data: Dataset
) -> None:
    choice = PatternChoice(budget=MacBudget(0.4), candidates=(ONE_OF_EIGHT,))
    _, masks = prune(trained, data, OBSPruning(patterns=choice, images=100))
    assert masks and set(masks.patterns.values()) == {ONE_OF_EIGHT}


def test_finetuning_keeps_the_masks_and_the_whole_path_needs_no_training(
    trained: DigitsCNN, data: Dataset
) -> None:
    patterns = all_convolutions_but_first(trained, ONE_OF_EIGHT)
    model, masks = prune(trained, data, OBSPruning(patterns=patterns))
    finetuned, same = prune(trained, data, OBSPruning(patterns=patterns, finetune_epochs=1))
    assert all(torch.equal(masks[name], same[name]) for name in masks)
    assert not torch.equal(finetuned.get_parameter("fc.weight"), model.get_parameter("fc.weight"))
    trainer = Trainer(data=data, recipe=RECIPE)
    quantized = compress_model(deepcopy(trained), trainer, [OBSPruning(patterns=patterns)])
    assert accuracy(quantized, data) >= accuracy(model, data) - 0.02


def test_layers_whose_inputs_cannot_be_seen_are_refused_before_training(data: Dataset) -> None:
    model = DigitsCNN()
    model.add_module("unused", nn.Conv2d(8, 8, 1))
    with pytest.raises(PruneError, match=r"needs the inputs of 'unused'"):
        check_prunings(model, data, [OBSPruning(patterns={"unused": ONE_OF_EIGHT})])


def test_batch_norms_belong_to_the_masks_that_are_kept(trained: DigitsCNN, data: Dataset) -> None:
    patterns = all_convolutions_but_first(trained, ONE_OF_EIGHT)
    trainer = Trainer(data=data, recipe=replace(RECIPE, prune_epochs=1))
    random = DPPPruning(patterns=patterns, init=LogitInit.RANDOM)
    for pruning, changes in ((random, True), (MagnitudePruning(patterns=patterns), False)):
        model = prune_model(deepcopy(trained), trainer, [pruning]).model
        again = deepcopy(model)
        recalibrate_batch_norms_(again, data.calibration_images)
        pair = [net.get_buffer("bn3.running_var") for net in (model, again)]
        assert torch.equal(*pair) == changes
