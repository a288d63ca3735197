"""Experiments whose targets are no classes of images: an autoencoder, and classes of pixels."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from systolith.cli import app
from tests.support.slow import first_few

pytestmark = pytest.mark.filterwarnings("ignore:.*is left out, as it does not change the predicted")

MODULE = '''import torch
from torch import nn

from systolith.data import Dataset, TargetKind


def _images(count, seed):
    """Squares on a dark ground, and the pixels that they cover."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 3, (2, count, 1, 1), generator=generator)
    places = torch.arange(6)
    rows = (places[:, None] >= corner[0]) & (places[:, None] < corner[0] + 3)
    columns = (places >= corner[1]) & (places < corner[1] + 3)
    covered = rows & columns
    noise = 0.2 * torch.rand(count, 1, 6, 6, generator=generator)
    return covered.unsqueeze(1) * 0.8 + noise, covered.long()


def squares(target=TargetKind.PIXEL_CLASSES):
    images, covered = _images(96, 0)
    parts = {"train_images": images[:80], "test_images": images[80:]}
    if target is TargetKind.INPUT:
        parts["test_labels"] = torch.arange(16) % 2
        parts["test_images"][1::2] = 1 - parts["test_images"][1::2]
    else:
        covered[:, 0, 0] = -100
        parts |= {"train_labels": covered[:80], "test_labels": covered[80:]}
    return Dataset(name="squares", target=target, **parts)


def sounds():
    return squares(TargetKind.INPUT)


def segmenter():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)
    )


def autoencoder():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 36), nn.Sigmoid()
    )
'''
EXPERIMENT = """
name = "own"
[model]
factory = "{module}:{model}"
[data]
factory = "{module}:{data}"
targets = "{targets}"
[train]
float_epochs = 30
prune_epochs = 5
quantize_epochs = 5
batch_size = 16
learning_rate = 0.01
teacher = "dense"
objective = "{objective}"
[[prune]]
method = "sr-ste"
rules = [{{ layers = "3", k = 2, n = 4 }}]
[verify]
images = 2
per_layer = false
"""


def _write(folder: Path, module: str, **changes: str) -> Path:
    (folder / f"{module}.py").write_text(MODULE)
    given = {
        "model": "autoencoder",
        "data": "sounds",
        "targets": "input",
        "objective": "squared-error",
    }
    path = folder / "own.toml"
    path.write_text(EXPERIMENT.format(module=module, **{**given, **changes}))
    return path


SEGMENTER = {
    "model": "segmenter",
    "data": "squares",
    "targets": "pixel-classes",
    "objective": "cross-entropy",
}


@pytest.mark.parametrize("command", first_few(["lower", "verify"], 1))
@pytest.mark.parametrize("changes", [{}, SEGMENTER], ids=["input", "pixels"])
def test_a_network_is_trained_pruned_quantized_and_verified(
    tmp_path: Path, changes: dict[str, str], command: str
) -> None:
    path = _write(tmp_path, tmp_path.name, **changes)
    result = CliRunner().invoke(app, [command, str(path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["verification"]["passed"]
    assert report["verification"]["hardware"] is (command == "verify")
    states = {"float", "pruned", "integer"}
    if changes:
        assert states < report["accuracy"].keys()
        assert min(report["metrics"]["mean_iou"].values()) > 0.9
        assert "of the pixels of 16 test images" in " ".join(result.output.split())
    else:
        assert report["accuracy"] == {"test_images": 16}
        errors = report["metrics"]["squared_error"]
        assert errors.keys() == states and errors["integer"] < 1.1 * errors["pruned"]
        assert min(report["metrics"]["roc_auc"].values()) > 0.95
    page = (tmp_path / "out/report.html").read_text()
    assert ("Squared error" in page) is not bool(changes)
    assert "Metrics" in page and ("mean IoU" if changes else "ROC AUC") in page


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"targets": "values"}, ["data.targets = 'values', but targets of data set 'squares' are"]),
        ({"objective": "cross-entropy"}, ["cross entropy is a loss of classes"]),
        (
            {"model": "segmenter"},
            ["training images of data set 'squares' need outputs of shape (2, 1, 6, 6), or"],
        ),
        (
            {**SEGMENTER, "model": "autoencoder"},
            ["training labels of data set 'squares' are classes of pixels", "test labels of data"],
        ),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_what_does_not_fit_is_told_before_training(
    tmp_path: Path, changes: dict[str, str], problems: list[str]
) -> None:
    path = _write(tmp_path, tmp_path.name, **changes)
    result = CliRunner().invoke(app, ["train", str(path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    shown = " ".join(result.output.split())
    assert all(problem in shown for problem in problems), shown
    assert not (tmp_path / "out/train").exists()


def test_values_have_no_class_on_the_chip_and_no_accuracy_to_tune(tmp_path: Path) -> None:
    path = _write(tmp_path, "values_only")
    path.write_text(f"{path.read_text()}[hardware]\nclass_on_chip = true\n")
    result = CliRunner().invoke(app, ["estimate", str(path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "hardware.class_on_chip needs classes" in " ".join(result.output.split())
