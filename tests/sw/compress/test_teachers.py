"""Teachers and averages in all phases of compression."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from systolith.compress import (
    DJPQPruning,
    DPPPruning,
    GDPPruning,
    Pruning,
    SPPPruning,
    Trainer,
    compress_model,
    prune_model,
    quantize_model,
)
from systolith.data import Cutout, Dataset, MixUp, combine_augments, load_digits, shift_images
from systolith.frontend import lower
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.train import CrossEntropy, DenseTeacher, Recipe, Teacher, train_float

PATTERNS = {"conv2": Pattern(select=KOutOfN(2, 8))}
SHORT = Recipe(float_epochs=1, prune_epochs=1, quantize_epochs=1)
TAUGHT = replace(
    SHORT,
    teacher=DenseTeacher(weight=0.5, temperature=2.0),
    augment=shift_images,
    objective=CrossEntropy(label_smoothing=0.1),
    ema=0.9,
    clip_norm=1.0,
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load_digits()
    return replace(
        digits, train_images=digits.train_images[:256], train_labels=digits.train_labels[:256]
    )


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.filterwarnings("default:SPP needs")
def test_the_dense_network_teaches_its_pruning_and_its_quantization(data: Dataset) -> None:
    prunings = [SPPPruning(patterns=PATTERNS)]
    whole = compress_model(DigitsCNN(), Trainer(data=data, recipe=TAUGHT), prunings)

    model = DigitsCNN()
    train_float(model, data, replace(TAUGHT, teacher=None))
    trainer = Trainer(data=data, recipe=TAUGHT).taught_by(model)
    assert isinstance(trainer.recipe.teacher, Teacher)
    assert trainer.taught_by(DigitsCNN(seed=1)) == trainer, "it has a teacher already"
    by_hand = quantize_model(prune_model(model, trainer, prunings), trainer)
    assert _same(whole.state_dict(), by_hand.state_dict())

    untaught = Trainer(data=data, recipe=replace(TAUGHT, teacher=None))
    alone = compress_model(DigitsCNN(), untaught, prunings)
    assert not _same(whole.state_dict(), alone.state_dict())


@pytest.mark.parametrize("phase", ["float", "prune", "quantize"])
def test_every_setting_reaches_every_phase(data: Dataset, phase: str) -> None:
    taught = replace(TAUGHT, teacher=Teacher(DigitsCNN(seed=9), cache=None), clip_norm=1e-3)
    plain = replace(SHORT, float_epochs=0, prune_epochs=0, quantize_epochs=0)

    def train(**settings: Any) -> dict[str, Tensor]:
        recipe = replace(plain, **{f"{phase}_epochs": 1}, **settings)
        trainer = Trainer(data=data, recipe=recipe)
        return compress_model(DigitsCNN(), trainer, [DPPPruning(patterns=PATTERNS)]).state_dict()

    without = train()
    for setting in ("teacher", "augment", "objective", "ema", "clip_norm"):
        assert not _same(without, train(**{setting: getattr(taught, setting)})), setting


def test_mixed_images_train_every_phase(data: Dataset) -> None:
    recipe = replace(TAUGHT, augment=combine_augments([shift_images, Cutout(), MixUp()]))
    trainer = Trainer(data=data, recipe=recipe)
    quantized = compress_model(DigitsCNN(), trainer, [DPPPruning(patterns=PATTERNS)])
    assert lower(quantized).layers


@pytest.mark.filterwarnings("default:GDP needs 3 updates")
@pytest.mark.parametrize(
    "pruning",
    [
        DPPPruning(patterns=PATTERNS),
        DPPPruning(patterns=PATTERNS, joint=True),
        GDPPruning(keep=0.5),
        DJPQPruning(),
    ],
)
def test_averages_end_with_exact_masks_and_resume(
    data: Dataset, pruning: Pruning, tmp_path: Path
) -> None:
    def compress(checkpoint: Path | None) -> dict[str, Tensor]:
        trainer = Trainer(data=data, recipe=TAUGHT, checkpoint=checkpoint)
        quantized = compress_model(DigitsCNN(), trainer, [pruning])
        assert lower(quantized).layers, "which checks patterns exactly"
        return quantized.state_dict()

    straight = compress(None)
    assert _same(straight, compress(tmp_path / "run"))
    assert _same(straight, compress(tmp_path / "run")), "every phase is loaded"
