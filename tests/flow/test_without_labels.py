"""Experiments whose images have no labels: quantized and lowered, without accuracy."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from systolith.cli import app
from systolith.data import DataError, Dataset, load_image_folder
from systolith.models import DigitsCNN
from systolith.train import Recipe, TrainingError, fit

pytestmark = pytest.mark.filterwarnings("default:data set 'frames' has no labels")

MODULE = """
import torch
from torch import nn
from systolith.data import Dataset


def make_data():
    images = torch.rand(24, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return Dataset(name="frames", train_images=images[:16], test_images=images[16:])


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.PixelShuffle(2)
    )
"""
EXPERIMENT = """
name = "larger"
[model]
factory = "{module}:make_model"
[data]
factory = "{module}:make_data"
[train]
float_epochs = {epochs}
prune_epochs = 0
quantize_epochs = 0
[[prune]]
method = "obs"
[[prune.rules]]
layers = "2"
k = 2
n = 4
"""


def _write(folder: Path, module: str, epochs: int = 0) -> Path:
    (folder / f"{module}.py").write_text(MODULE)
    path = folder / "larger.toml"
    path.write_text(EXPERIMENT.format(module=module, epochs=epochs))
    return path


def test_images_without_labels_are_pruned_quantized_and_planned(tmp_path: Path) -> None:
    path = _write(tmp_path, "unlabelled_frames")
    result = CliRunner().invoke(app, ["estimate", str(path), "-o", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "data set 'frames' has no labels: outputs are compared, but no accuracy" in said
    report = json.loads((tmp_path / "out/report.json").read_text())
    names = {"float", "pruned", "integer"}
    assert not names & {name for name, share in report["accuracy"].items() if share is not None}
    checks = {check["name"]: check["passed"] for check in report["verification"]["checks"]}
    assert checks == {"NumPy and PyTorch": True}
    sparse = {layer["name"]: layer["pattern"] for layer in report["sparsity"]["layers"]}
    assert "2-out-of-4" in sparse.values()


def test_training_needs_labels(tmp_path: Path) -> None:
    path = _write(tmp_path, "untrained_frames", epochs=1)
    result = CliRunner().invoke(app, ["lower", str(path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    shown = " ".join(result.output.split())
    assert "data set 'frames' has no labels, which training reads" in shown


def test_labels_are_given_for_both_parts_or_none() -> None:
    images = torch.rand(4, 1, 8, 8)
    assert not Dataset(name="frames", train_images=images, test_images=images).has_labels
    with pytest.raises(DataError, match=r"test_labels must be int64 of shape \(4,\), got"):
        Dataset(
            name="half",
            train_images=images,
            train_labels=torch.zeros(4, dtype=torch.int64),
            test_images=images,
        )
    with pytest.raises(TrainingError, match="has no labels, which training reads"):
        fit(DigitsCNN(), Dataset(name="frames", train_images=images, test_images=images), epochs=1)
    assert Recipe().float_epochs > 0


def test_a_folder_of_images_without_classes(tmp_path: Path) -> None:
    for number in range(10):
        Image.new("L", (3, 2), number).save(tmp_path / f"{number}.png")
    data = load_image_folder(tmp_path, color=False)
    assert not data.has_labels and data.input_shape == (1, 2, 3)
    assert (len(data.train_images), len(data.test_images)) == (8, 2)
    for part in ("train", "test"):
        (tmp_path / "parts" / part).mkdir(parents=True)
        Image.new("L", (3, 2)).save(tmp_path / "parts" / part / "a.png")
    data = load_image_folder(tmp_path / "parts", color=False)
    assert not data.has_labels and len(data.train_images) == len(data.test_images) == 1
