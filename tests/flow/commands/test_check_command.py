"""The command ``systolith check``: exit codes, tables, JSON, and what it takes."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from systolith.cli import app
from systolith.frontend import lower
from systolith.models import DigitsCNN
from systolith.network import save
from systolith.quant import prepare
from systolith.stages.software.factories import INPUT_SHAPES, MODELS

MODEL = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
                         nn.Flatten(), nn.Linear(128, 3))

def odd():
    model = net()
    model[1], model[3] = nn.RReLU(), nn.Conv2d(8, 8, 1, padding_mode="reflect")
    return model
"""
EXPERIMENT = """
name = "checked"
model.factory = "checked_model:MODEL"
data.factory = "digits"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "checked_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("checked_model", None)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments])


def _json(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = _run(*arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_what_is_accepted_ends_with_0(folder: Path) -> None:
    done = _run("checked_model:net", "--input-shape", "1,8,8")
    assert done.exit_code == 0, done.stderr
    for part in ("layer", "removable", "filters", "8x8x3x3", "2 4 8", "nothing is refused"):
        assert part in done.stdout
    assert not (folder / "out").exists()


def test_everything_that_is_refused_is_listed_and_ends_with_1(folder: Path) -> None:
    options = ("--input-shape", "1,8,8", "--method", "magnitude", "--rule", "2=1:3")
    done = _run("checked_model:odd", *options)
    assert done.exit_code == 1
    for part in (
        "pruning: 1-out-of-3 pruning needs in_channels divisible by 3, but layer '2' has 8; n that",
        "quantization: '1' (RReLU): supported are",
        "replace it by nn.LeakyReLU() and train some epochs",
        "quantization: '3' (Conv2d): needs padding_mode 'zeros', got 'reflect'",
    ):
        assert part in done.stderr
    assert "engines were not checked" in done.stdout and "3 problems" in done.stdout
    code, report = _json("checked_model:odd", *options)
    assert code == 1 and not report["accepted"]
    assert [(text["step"], text["layer"]) for text in report["problems"]] == [
        ("pruning", "2"),
        ("quantization", "1"),
        ("quantization", "3"),
    ]


def test_an_experiment_is_checked_with_its_data_and_hardware(folder: Path) -> None:
    path = folder / "checked.toml"
    path.write_text(EXPERIMENT.replace("MODEL", "net"))
    code, report = _json(str(path))
    assert code == 1
    steps = {problem["step"]: problem["text"] for problem in report["problems"]}
    for step, part in (("model and data", "test"), ("training", "training")):
        assert steps[step].startswith(f"{part} labels of data set 'digits' must lie in 0..2, ")
    path.write_text(EXPERIMENT.replace("checked_model:MODEL", "digits_cnn"))
    code, report = _json(str(path))
    assert code == 0
    engines = {layer["name"]: layer["engine"] for layer in report["layers"]}
    cycles = [engine["cycles"] for engine in engines.values() if engine is not None]
    assert len(cycles) == 6 and max(cycles) == report["cycles_per_frame"]
    code, report = _json(str(path), "--multipliers", "3")
    assert code == 1
    assert [problem["step"] for problem in report["problems"]] == ["engines"]
    assert "need at least 4 multipliers" in report["problems"][0]["text"]
    assert [file.name for file in folder.iterdir() if file.is_dir()] in ([], ["__pycache__"])


def test_engines_of_a_network_that_pruning_will_change_are_no_refusal(folder: Path) -> None:
    code, report = _json("digits_cnn", "--method", "gdp", "--keep", "0.5", "--multipliers", "3")
    assert code == 0
    assert (
        "engines depend on pruning; without it: the engines need at least 4" in report["notes"][-1]
    )
    code, report = _json("digits_cnn", "--method", "gdp", "--keep", "0.5")
    assert report["notes"] == ["engines are those before pruning, which will make them smaller"]


def test_a_saved_network_is_checked_for_engines(folder: Path) -> None:
    import torch

    save(lower(prepare(DigitsCNN(), torch.rand(8, 1, 8, 8))), folder / "network.json")
    code, report = _json("network.json", "--multipliers", "3")
    assert (code, report["problems"][0]["step"]) == (1, "engines")
    code, report = _json("network.json", "--multipliers", "8")
    assert code == 0
    assert any(layer["engine"]["array"] for layer in report["layers"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checked_model:net"], "a model needs --input-shape C,H,W"),
        (["checked_model:net", "--input-shape", "1,x,8"], "must be sizes such as 3,32,32"),
        (["absent.toml"], "no such file"),
        (["digits_cnn", "--rule", "a=1:2"], "they need --method"),
        (["digits_cnn", "--device", "ecp6"], "no such device"),
        (["checked_model:net", "--input-shape", "8,8,8,8"], "--input-shape must be C,H,W"),
    ],
)
def test_wrong_usage_ends_with_2(folder: Path, arguments: list[str], message: str) -> None:
    done = _run(*arguments)
    assert done.exit_code == 2, done.stdout
    assert message in " ".join(done.stderr.split())


def test_every_example_network_has_a_shape() -> None:
    assert INPUT_SHAPES.keys() == MODELS.keys()
