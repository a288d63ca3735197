"""systolith import of TFLite files: what it writes and prints, and its exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.network import forward, load
from systolith.tflite import run_kernels
from tests.support.tflite_files import TfliteFile


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A convolution whose flattened image is the output."""
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 3, 3, 2), 0.1, -5)]
    kernel = np.random.default_rng(0).integers(-127, 128, (2, 3, 3, 2), dtype=np.int8)
    image = file.tensor("model/conv/Relu", (1, 3, 3, 2), 0.3, 4)
    weight = file.constant("model/conv/Conv2D", kernel, scale=[0.01, 0.02])
    bias = file.constant("model/conv/bias", np.array([5, -7], dtype=np.int32))
    file.operator(
        "CONV_2D", [0, weight, bias], [image], "Conv2DOptions", StrideH=1, StrideW=1,
        DilationHFactor=1, DilationWFactor=1,
    )  # fmt: skip
    file.outputs = [file.tensor("flat", (1, 18), 0.3, 4)]
    shape = file.constant("shape", np.array([1, 18], np.int32))
    file.operator("RESHAPE", [image, shape], file.outputs)
    return file.write(tmp_path / "model.tflite")


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["import", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_network_and_its_meaning_are_written(model: Path, tmp_path: Path) -> None:
    code, shown, said = _run(model, "-o", tmp_path / "out")
    assert code == 0, said
    assert "arithmetic: exactly that of TFLite's reference kernels" in shown
    assert "check: equal to the reference kernels of ai-edge-litert" in shown
    network = load(tmp_path / "out" / "network.json")
    meaning = json.loads((tmp_path / "out" / "import.json").read_text())
    images = np.random.default_rng(1).integers(-128, 128, (3, 3, 3, 2), dtype=np.int8)
    places = np.array(meaning["input"]["elements"]).reshape(network.input.shape)
    (found,) = forward(network, images.reshape(3, -1)[:, places].astype(np.int64)).values()
    (output,) = meaning["outputs"].values()
    (wanted,) = run_kernels(model, images)
    assert np.array_equal(found.reshape(3, -1)[:, output["elements"]], wanted)
    assert meaning["exact"] and not meaning["units"]
    assert meaning["check"]["images"] == 8


def test_narrower_multipliers_are_asked_for_and_named(model: Path, tmp_path: Path) -> None:
    code, shown, _ = _run(model, "-o", tmp_path / "out", "--multiplier-bits", 12)
    assert code == 0
    assert "narrower multipliers, 1 layer" in shown and "before multipliers were made" in shown
    meaning = json.loads((tmp_path / "out" / "import.json").read_text())
    assert not meaning["exact"] and list(meaning["units"]) == ["conv"]


def test_as_json_nothing_else_is_printed(model: Path) -> None:
    code, shown, _ = _run(model, "--json", "--no-check")
    content = json.loads(shown)
    assert code == 0 and content["check"] is None and len(content["layers"]) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--input-type", "int8:1/2"), "--input-type: a TFLite file has its own"),
        (("--multiplier-bits", 3), "multiplier_bits must lie in 8..31, got 3"),
    ],
)
def test_options_of_other_files_are_refused(
    options: tuple[object, ...], said: str, model: Path
) -> None:
    code, _, text = _run(model, *options)
    assert code == 2 and said in text


def test_a_refused_file_leaves_nothing(tmp_path: Path) -> None:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 4), 0.1)]
    file.outputs = [file.tensor("output", (1, 4), 0.1)]
    file.operator("ELU", [0], file.outputs)
    code, _, said = _run(file.write(tmp_path / "m.tflite"), "-o", tmp_path / "out")
    assert code == 2 and "ELU of 'output': is not supported" in said
    assert not (tmp_path / "out").exists()
