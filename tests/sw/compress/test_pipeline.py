"""The whole path on real data: accuracy, exactness, and integers that agree."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from systolith.compress import (
    EnsemblePruning,
    PrunedModel,
    SRSTEPruning,
    Trainer,
    compress_model,
    prune_model,
    quantize_model,
)
from systolith.data import load_digits
from systolith.frontend import IntegerModel, lower
from systolith.models import DigitsCNN
from systolith.network import Conv2d, KOutOfN, Pattern, content_hash, forward, trace
from systolith.prune import MaskSet, PruneError, all_convolutions_but_first
from systolith.quant import PostTraining, QuantConfig, WeightRounding, prepare, reconstruct_
from systolith.train import EpochProgress, Recipe, evaluate, train_float

TWO_OF_EIGHT = Pattern(select=KOutOfN(2, 8))


def test_digits_stay_above_98_percent_from_float_to_two_out_of_eight_integers() -> None:
    data, model = load_digits(seed=0), DigitsCNN(seed=0)
    trainer = Trainer(data=data)
    test = data.test_images, data.test_labels
    patterns = all_convolutions_but_first(model, TWO_OF_EIGHT)

    train_float(model, data)
    assert evaluate(model, *test) >= 0.985

    pruned = prune_model(model, trainer, [SRSTEPruning(patterns=patterns)])
    assert pruned.model is model and pruned.masks.density == 0.25
    assert evaluate(model, *test) >= 0.98

    quantized = quantize_model(pruned, trainer)
    network, integer = lower(quantized, (1, 8, 8)), IntegerModel(quantized)
    assert evaluate(integer.logits, *test) >= 0.98
    for name in ("conv2", "conv3"):
        layer = network[name]
        assert isinstance(layer, Conv2d) and layer.pattern == TWO_OF_EIGHT

    images = integer.quantize_input(data.test_images)
    golden, reference = trace(network, images), integer.trace(images)
    assert list(golden) == list(reference)
    assert all(np.array_equal(golden[name], reference[name]) for name in golden)
    accuracy = (forward(network, images)["fc"].argmax(1) == data.test_labels.numpy()).mean()
    assert accuracy == pytest.approx(evaluate(integer.logits, *test), abs=1e-12)


def test_power_of_two_steps_and_four_bits_still_work() -> None:
    data, model = load_digits(seed=1), DigitsCNN(seed=1)
    trainer = Trainer(data=data, recipe=Recipe(float_epochs=10, prune_epochs=6, quantize_epochs=4))
    patterns = all_convolutions_but_first(model, TWO_OF_EIGHT)
    config = QuantConfig(weight_bits=4, act_bits=4, power_of_two=True)
    quantized = compress_model(model, trainer, [SRSTEPruning(patterns=patterns)], config)
    accuracy = evaluate(IntegerModel(quantized).logits, data.test_images, data.test_labels)
    assert accuracy >= 0.96


def test_phases_resume_from_state_dicts_and_masks() -> None:
    data = load_digits(seed=0)
    recipe = Recipe(float_epochs=1, prune_epochs=1, quantize_epochs=1)
    prunings = [SRSTEPruning(patterns={"conv2": TWO_OF_EIGHT})]
    reports: list[EpochProgress] = []
    model = DigitsCNN()
    trainer = Trainer(data=data, recipe=recipe, progress=reports.append)
    straight = compress_model(model, trainer, prunings)
    phases = dict.fromkeys(report.phase for report in reports)
    assert list(phases) == ["float", "0-sr-ste", "quantize"]

    first = DigitsCNN()
    train_float(first, data, recipe)
    second = DigitsCNN(seed=5)
    second.load_state_dict(first.state_dict())
    masks = prune_model(second, trainer, prunings).masks
    third = DigitsCNN(seed=6)
    third.load_state_dict(second.state_dict())
    resumed = quantize_model(PrunedModel(model=third, masks=masks), trainer)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])

    again = prepare(DigitsCNN(), data.train_images[:8], masks=masks)
    again.load_state_dict(straight.state_dict())
    assert content_hash(lower(again)) == content_hash(lower(straight))


@pytest.mark.filterwarnings("ignore:masked networks of an ensemble")  # nothing is trained
def test_ensembles_train_between_rounds_and_resume_with_equal_results(tmp_path: Path) -> None:
    data = load_digits(seed=0)
    recipe = Recipe(prune_epochs=9)
    prunings = [EnsemblePruning(keep=0.5, images=20, members=240, rounds=3)]
    reports: list[EpochProgress] = []

    def prune(trainer: Trainer) -> PrunedModel:
        return prune_model(DigitsCNN(), trainer, prunings)

    straight = prune(Trainer(data=data, recipe=recipe, progress=reports.append))
    epochs = {report.phase: report.epochs for report in reports}
    assert epochs == {"0-lfe-round-1": 2, "0-lfe-round-2": 1, "0-lfe": 6}

    def interrupt(progress: EpochProgress) -> None:
        if progress.phase == "0-lfe-round-1" and progress.epoch_done and progress.epoch == 2:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        prune(Trainer(data=data, recipe=recipe, progress=interrupt, checkpoint=checkpoint))
    resumed = prune(Trainer(data=data, recipe=recipe, checkpoint=checkpoint))
    assert straight.filters[0].kept == resumed.filters[0].kept
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])


@pytest.mark.filterwarnings("ignore:masked networks of an ensemble")  # nothing is trained
def test_rounds_without_an_epoch_each_are_warned_of() -> None:
    trainer = Trainer(data=load_digits(), recipe=Recipe(prune_epochs=1))
    prunings = [EnsemblePruning(keep=0.9, images=2, rounds=2)]
    message = "prune: lfe trains between rounds, which needs at least 3 epochs for 2 rounds, got 1"
    with pytest.warns(UserWarning, match=f"^{message}$"):
        prune_model(DigitsCNN(), trainer, prunings)


def test_checks_patterns_before_any_work() -> None:
    def fail(progress: EpochProgress) -> None:
        raise AssertionError("training has begun")

    message = "2-out-of-8 pruning needs in_channels divisible by 8, but layer 'conv1' has 1"
    message += "; leave the layer dense"
    prunings = [SRSTEPruning(patterns={"conv1": TWO_OF_EIGHT})]
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        compress_model(DigitsCNN(), Trainer(data=load_digits(), progress=fail), prunings)


def test_without_quantized_epochs_weights_are_reconstructed_unless_said_otherwise() -> None:
    data = load_digits(seed=0)
    model = DigitsCNN(seed=0).eval()
    pruned = PrunedModel(model=model, masks=MaskSet({}, {}))
    bits = QuantConfig(weight_bits=4)
    nearest = prepare(model, data.calibration_images, bits)
    reconstructed = prepare(model, data.calibration_images, bits)
    reconstruct_(reconstructed, data.calibration_images)
    none = PostTraining(rounding=WeightRounding.NEAREST, bias_correction=False)
    trainer = Trainer(data=data, recipe=Recipe(quantize_epochs=0))
    hashes = [
        content_hash(lower(quantized))
        for quantized in (
            quantize_model(pruned, trainer, bits),
            quantize_model(pruned, trainer, bits, post_training=none),
        )
    ]
    assert hashes == [content_hash(lower(reconstructed)), content_hash(lower(nearest))]
