"""Arguments that cannot be trained with are refused before work, all at once."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from systolith.data import (
    Cutout,
    Dataset,
    MixUp,
    RandomCrop,
    augment_warnings,
    combine_augments,
    crop_and_flip,
    load_digits,
    shift_images,
)
from systolith.foundation import ProblemsError
from systolith.models import DigitsCNN
from systolith.train import (
    CrossEntropy,
    DenseTeacher,
    Recipe,
    Teacher,
    TrainingError,
    evaluate,
    fit,
    train_float,
)
from systolith.train.devices import find_device


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load_digits()
    return replace(
        digits, train_images=digits.train_images[:64], train_labels=digits.train_labels[:64]
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("teacher", DenseTeacher(), "by of(model), or None, got DenseTeacher"),
        ("teacher", DigitsCNN(), "or None, got DigitsCNN"),
        ("epochs", None, "a whole number, got None"),
        ("epochs", 1.5, "a whole number, got 1.5"),
        ("learning_rate", "fast", "a number, got 'fast'"),
        ("batch_size", True, "a whole number, got True"),
        ("weight_decay", None, "a number, got None"),
        ("algorithm", "sgd", "an Algorithm, got 'sgd'"),
        ("precision", "bfloat16", "a Precision, got 'bfloat16'"),
        ("augment", Cutout, "an Augment or a MixingAugment or None, got the class Cutout"),
        ("objective", CrossEntropy, "logits and labels or None, got the class CrossEntropy"),
        ("ema", "0.9", "a number or None, got '0.9'"),
        ("sparsifier", [], "state_dict and load_state_dict) or None, got list"),
        ("seed", None, "a whole number, got None"),
        ("progress", None, "a function, got None"),
        ("checkpoint", "file", "a Path or None, got 'file'"),
    ],
)  # fmt: skip
def test_fit_names_arguments_of_a_wrong_type(
    data: Dataset, name: str, value: Any, message: str
) -> None:
    with pytest.raises(TrainingError, match=f"^{name} must be .*{re.escape(message)}$"):
        fit(DigitsCNN(), data, **{"epochs": 1, name: value})


def test_everything_that_is_wrong_is_told_at_once(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    teacher = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), cache=tmp_path / "file")
    with pytest.raises(TrainingError) as caught:
        fit(DigitsCNN().double(), data, epochs=1, ema=2, teacher=teacher)
    assert re.search("^ema must lie in 0..1, below 1, got 2\n", caught.value.problems[0] + "\n")
    assert re.match(
        "weights of the model must be float32, but 'conv1.weight'", caught.value.problems[1]
    )
    with pytest.raises(TrainingError) as caught:
        fit(DigitsCNN(), data, epochs=1, ema=2, teacher=teacher)
    texts = caught.value.problems
    for part in (
        "^ema must lie",
        "cache '.*' must be a folder",
        "must give 10 logits .*, got .2, 5",
    ):
        assert sum(bool(re.search(part, text)) for text in texts) == 1, texts


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_teacher_of_another_type_is_refused(data: Dataset, dtype: torch.dtype) -> None:
    message = r"^weights of the teacher must be float32, but 'conv1.weight', .* has torch\."
    with pytest.raises(TrainingError, match=message):
        fit(DigitsCNN(), data, epochs=1, teacher=Teacher(DigitsCNN().to(dtype)))


def test_models_without_trained_weights_are_refused(data: Dataset) -> None:
    for model in (nn.Flatten(), DigitsCNN().requires_grad_(False)):
        with pytest.raises(TrainingError, match="must have parameters that require gradients"):
            fit(model, data, epochs=1)


def test_the_model_runs_once_before_training(data: Dataset) -> None:
    model, calls = DigitsCNN(), []
    model.register_forward_hook(lambda *_: calls.append(model.training))
    fit(model, data, epochs=1, batch_size=64)
    assert calls == [False, True], "one probe, and one step"


@pytest.mark.parametrize(
    "make",
    [
        lambda value: fit(value, load_digits(), epochs=1),
        lambda value: fit(DigitsCNN(), value, epochs=1),
        lambda value: train_float(value, load_digits()),
        lambda value: train_float(DigitsCNN(), value),
        lambda value: train_float(DigitsCNN(), load_digits(), value),
        lambda value: evaluate(value, torch.rand(1, 1, 8, 8), torch.zeros(1).long()),
        lambda value: evaluate(DigitsCNN(), value, torch.zeros(1).long()),
        lambda value: Teacher(value),
        lambda value: Teacher(DigitsCNN(), weight=value),
        lambda value: Teacher(DigitsCNN(), cache=value),
        lambda value: DenseTeacher(temperature=value),
        lambda value: CrossEntropy(label_smoothing=value),
        lambda value: MixUp(alpha=value),
        lambda value: Cutout(size=value),
        lambda value: RandomCrop(padding=value, mirror=False),
        lambda value: combine_augments([value]),
    ],
)
@pytest.mark.parametrize("value", [[], DenseTeacher(), DigitsCNN])
def test_wrong_types_are_named_by_every_function(make: Any, value: Any) -> None:
    with pytest.raises(ProblemsError, match="must "):
        make(value)


def test_shifts_that_are_large_beside_the_images_are_warned_of(data: Dataset) -> None:
    message = "^augmentation should shift 8x8 images by at most 1 pixel, got up to 4$"
    with pytest.warns(UserWarning, match=message):
        fit(DigitsCNN(), data, epochs=1, augment=combine_augments([shift_images, crop_and_flip]))
    for shape, warned in (((3, 32, 32), False), ((1, 28, 28), False), ((3, 16, 32), True)):
        assert any(augment_warnings(crop_and_flip, shape)) is warned
    assert not any(augment_warnings(shift_images, (1, 4, 4)))
    assert any(augment_warnings(Cutout(size=7), (1, 8, 8)))
    assert not any(augment_warnings(combine_augments([Cutout(), MixUp()]), (1, 8, 8)))


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "device must be one of auto, cpu, cuda, mps, got 'gpu'"),
        (None, "device must be one of auto, cpu, cuda, mps, got None"),
        ("cuda", "device 'cuda' must be one that PyTorch finds here, which are cpu"),
    ],
)
def test_absent_devices_are_refused(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, device: Any, message: str
) -> None:
    for backend in (torch.cuda, torch.mps):
        monkeypatch.setattr(backend, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=f"^{re.escape(message)}$"):
        train_float(DigitsCNN(), data, Recipe(device=device))


def test_auto_is_the_first_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, wanted in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.mps, "is_available", lambda mps=mps: mps)
        assert find_device("auto") == torch.device(wanted)
