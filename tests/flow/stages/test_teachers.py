"""Teachers, augmentation and averages in experiment files, up to the stages that train."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from systolith.config import ConfigError, Experiment, check_experiment
from systolith.data import (
    COLOURS,
    Dataset,
    FiniteAugment,
    MixingAugment,
    crop_and_flip,
    load_digits,
)
from systolith.foundation import ProblemsError
from systolith.models import DigitsCNN, resnet20
from systolith.report import Report
from systolith.stages import open_run
from systolith.stages.software.factories import make_recipe, make_teacher
from systolith.train import DenseTeacher, Teacher, save_tensors

TEXT = """
name = "taught"
[model]
factory = "digits_cnn"
[data]
factory = "loader_of_teachers:load"
augment = "shift"
[train]
float_epochs = 1
prune_epochs = 1
quantize_epochs = 1
TRAIN
[[prune]]
method = "magnitude"
rules = [{ layers = "conv2", k = 2, n = 8 }]
"""
MINE = """
from torch import nn
from dataclasses import replace
from systolith.data import load_digits
from systolith.models import DigitsCNN

def load():
    data = load_digits()
    return replace(data, train_images=data.train_images[:128], train_labels=data.train_labels[:128],
                   test_images=data.test_images[:32], test_labels=data.test_labels[:32])

def master(): return DigitsCNN(seed=7)
def five(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
def three_channels(): return nn.Conv2d(3, 10, 8)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "loader_of_teachers.py").write_text(MINE)
    save_tensors(DigitsCNN(seed=5).state_dict(), tmp_path / "master.safetensors")
    yield tmp_path
    sys.modules.pop("loader_of_teachers", None)


def _run(folder: Path, train: str, goal: str = "quantize") -> Report:
    path = folder / "taught.toml"
    path.write_text(TEXT.replace("TRAIN", train))
    return open_run(path, folder / "out").run(goal)


def _ran(report: Report) -> list[str]:
    return [stage.name for stage in report.stages if not stage.cached]


def _weights(folder: Path) -> dict[str, Any]:
    return {path.name: path.read_bytes() for path in folder.glob("out/quantize/*.safetensors")}


def test_stages_run_again_if_their_teacher_changes(folder: Path) -> None:
    software = ["train", "prune", "quantize"]
    assert _ran(_run(folder, "")) == software
    untaught = _weights(folder)
    assert _ran(_run(folder, 'teacher = "dense"')) == ["prune", "quantize"]
    assert _weights(folder) != untaught
    dense = 'teacher = { factory = "dense", weight = 0.5, cache = "logits" }'
    assert _ran(_run(folder, dense)) == ["prune", "quantize"]
    assert len(list((folder / "logits").iterdir())) == 1, "both stages share the logits"
    assert _ran(_run(folder, dense.replace("logits", "elsewhere"))) == []
    given = 'teacher = { factory = "digits_cnn", weights = "master.safetensors" }'
    assert _ran(_run(folder, given)) == software
    assert _ran(_run(folder, given)) == []
    save_tensors(DigitsCNN(seed=6).state_dict(), folder / "master.safetensors")
    report = _run(folder, given)
    assert _ran(report) == software
    assert report.stages[0].reasons == ("weights changed: master.safetensors",)
    mine = 'teacher = "loader_of_teachers:master"'
    assert _ran(_run(folder, mine)) == software
    text = MINE.replace("seed=7", "seed=8")
    (folder / "loader_of_teachers.py").write_text(text)
    report = _run(folder, mine)
    assert _ran(report) == software
    assert "weights changed: teacher" in report.stages[0].reasons


@pytest.mark.parametrize(
    "setting", ["warmup = 0.1", "label_smoothing = 0.1", "ema = 0.9", "clip_norm = 0.01"]
)
def test_stages_run_again_if_a_setting_of_training_changes(folder: Path, setting: str) -> None:
    _run(folder, "", "train")
    report = _run(folder, setting, "train")
    name, _, value = setting.partition(" = ")
    (reason,) = report.stages[0].reasons
    assert re.fullmatch(rf"train\.{name} changed: (none|0\.0) -> {value}", reason)


def _experiment(train: dict[str, Any], **data: Any) -> Experiment:
    content = {
        "name": "taught",
        "model": {"factory": "digits_cnn"},
        "data": {"factory": "digits", **data},
        "train": train,
    }
    return check_experiment(content, Path("taught.toml"))


def test_a_recipe_has_what_the_file_says() -> None:
    recipe = make_recipe(
        _experiment(
            {"ema": 0.99, "label_smoothing": 0.1, "clip_norm": 2.0, "warmup": 0.05},
            augment=["crop-flip", "cutout", "mixup"],
        )
    )
    assert (recipe.ema, recipe.clip_norm, recipe.warmup) == (0.99, 2.0, 0.05)
    assert str(recipe.objective) == "CrossEntropy(label_smoothing=0.1)"
    assert isinstance(recipe.augment, MixingAugment)
    assert make_recipe(_experiment({}, augment="crop-flip")).augment is crop_and_flip
    assert make_recipe(_experiment({}, augment="none")).augment is None
    assert make_recipe(_experiment({})).augment is None
    two = make_recipe(_experiment({}, augment=["none", "shift", "crop-flip"])).augment
    assert isinstance(two, FiniteAugment) and two.variants == 9 * 162


def test_teachers_see_the_images_that_they_were_trained_on(tmp_path: Path) -> None:
    model = resnet20()
    save_tensors(model.state_dict(), tmp_path / "w.safetensors")
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    raw = Dataset(
        name="cifar10",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )
    colours = COLOURS["cifar10"]
    normal = raw.normalize(colours.mean, colours.deviation)
    model = model.eval()
    wanted = {True: model(normal.train_images), False: model(raw.train_images)}
    for data in (raw, normal):
        for normalize in (True, False, None):
            section = {"factory": "resnet20", "weights": "w.safetensors"}
            if normalize is not None:
                section["normalize"] = normalize
            teacher = make_teacher(
                _experiment({"teacher": section}, factory="cifar10"), data, tmp_path
            )
            assert isinstance(teacher, Teacher)
            with torch.no_grad():
                logits = teacher._model(data.train_images)
            expected = wanted[data is normal if normalize is None else normalize]
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_a_name_alone_is_a_teacher() -> None:
    data = load_digits()
    assert make_teacher(_experiment({"teacher": "dense"}), data, Path()) == DenseTeacher()
    assert make_teacher(_experiment({}), data, Path()) is None


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            'teacher = "digits_cnn"',
            "train.teacher.factory 'digits_cnn' needs train.teacher.weights: a teacher is trained",
        ),
        (
            'teacher = "loader_of_teachers:five"',
            (
                "the teacher must give 10 logits for each image, as the model "
                "does, got (2, 5) for 2 images"
            ),
        ),
        (
            'teacher = "loader_of_teachers:three_channels"',
            "images of shape (2, 1, 8, 8) do not fit the teacher: Given groups=1",
        ),
        (
            'teacher = { factory = "digits_cnn", weights = "absent.pt" }',
            "train.teacher.weights",
        ),
        (
            'teacher = { factory = "loader_of_teachers:master", normalize = true }',
            (
                "train.teacher.normalize = true needs data.normalize = true, or one of the data "
                "sets cifar10, fashion_mnist, mnist, got 'loader_of_teachers:load'"
            ),
        ),
        (
            'teacher = { factory = "dense", cache = "master.safetensors" }',
            "master.safetensors' must be a folder that can be written: File exists",
        ),
        ('teacher = "nonsense"', "train.teacher.factory must be one of digits_cnn, ds_cnn,"),
    ],
)
def test_teachers_are_checked_before_training(folder: Path, train: str, message: str) -> None:
    with pytest.raises((ProblemsError, ValueError)) as caught:
        _run(folder, train + "\nlearning_rate = 1e30")
    assert message in str(caught.value) and not (folder / "out/train").exists()


def test_all_mistakes_of_the_sections_are_reported_together() -> None:
    train = {
        "ema": 1.0,
        "label_smoothing": -0.1,
        "teacher": {"factory": "dense", "weights": "w", "normalize": False},
    }
    with pytest.raises(ConfigError) as caught:
        _experiment(train, augment=["shift", "blur"])
    assert sorted(caught.value.problems) == [
        "data.augment[1]: must be 'none', 'shift', 'crop-flip', 'cutout' or 'mixup', got 'blur'",
        "train.ema: must be less than 1, got 1.0",
        "train.label_smoothing: must be greater than or equal to 0, got -0.1",
        (
            "train.teacher: the teacher 'dense' is the network itself, without weights, normalize "
            "of its own"
        ),
    ]
