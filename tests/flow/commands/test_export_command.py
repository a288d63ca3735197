"""systolith export: what it writes and prints, and its exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import Format, import_onnx
from systolith.network import (
    IntegerNetwork,
    Overflow,
    forward,
    load,
)
from tests.flow.commands.exchanged import random_inputs, run_command, saved, tiny
from tests.support.networks import residual_network, small_network


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize(
    "network", [small_network(), residual_network(), tiny()], ids=lambda network: network.name
)
def test_an_exported_network_comes_back_with_the_same_outputs(
    network: IntegerNetwork, form: Format, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    source = saved(network, tmp_path)
    assert run_command("export", source, "-o", path, "--format", form.value)[0] == 0
    assert run_command("import", path, "-o", tmp_path / "back")[0] == 0
    back = load(tmp_path / "back/network.json")
    images = random_inputs(network)
    wanted, found = forward(network, images), forward(back, images)
    assert len(wanted) == len(found)
    for ours, theirs in zip(wanted.values(), found.values(), strict=True):
        assert np.array_equal(ours, theirs)


def test_export_names_patterns_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "new/model.onnx"
    code, shown, _ = run_command("export", saved(tiny(), tmp_path), "-o", path, "--json")
    assert code == 0
    assert json.loads(shown) == {
        "model": str(path),
        "patterns": str(path.with_suffix(".patterns.json")),
    }
    assert {each.name for each in path.parent.iterdir()} == {"model.onnx", "model.patterns.json"}
    patterns = json.loads(path.with_suffix(".patterns.json").read_text())
    layer = patterns["layers"]["conv"]
    assert (layer["pattern"], layer["k"], layer["n"], layer["axis"]) == ("2-out-of-4", 2, 4, 1)
    weight = tiny().layers[0].weight.reshape(4, -1)  # type: ignore[union-attr]
    assert [np.flatnonzero(row).tolist() for row in weight] == layer["indices"]


def test_export_puts_the_scale_of_images_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    source = saved(tiny(), tmp_path)
    assert run_command("export", source, "-o", path, "--input-scale", 0.25)[0] == 0
    found = import_onnx(path)
    integers = random_inputs(tiny())
    assert np.array_equal(found.quantize_input(integers * 0.25), integers)


def test_wrapping_network_is_not_exported(tmp_path: Path) -> None:
    source = saved(tiny(overflow=Overflow.WRAP), tmp_path)
    code, shown, said = run_command("export", source, "-o", tmp_path / "out/model.onnx")
    assert (code, shown) == (2, "")
    assert "layer 'conv': wraps where it overflows" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "tflite"], "Invalid value for '--format'"),
        (["--input-scale", "-1"], "Invalid value for '--input-scale'"),
        (["--input-scale", "0"], "input_scale must be a positive number, got 0"),
    ],
)
def test_export_options_are_checked(arguments: list[str], said: str, tmp_path: Path) -> None:
    source = saved(tiny(), tmp_path)
    code, _, error = run_command("export", source, "-o", tmp_path / "out/model.onnx", *arguments)
    assert code == 2
    assert said in " ".join(error.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_export_of_a_damaged_network_is_bad_input(tmp_path: Path) -> None:
    source = saved(tiny(), tmp_path)
    source.with_suffix(".safetensors").unlink()
    code, _, said = run_command("export", source, "-o", tmp_path / "model.onnx")
    assert code == 2
    assert said.startswith("error: ")
    assert not (tmp_path / "model.onnx").exists()


def test_failure_while_writing_keeps_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"earlier")
    write = Path.write_bytes

    def half(self: Path, data: bytes) -> int:
        if self.suffix == ".onnx":
            write(self, data[: len(data) // 2])
            raise OSError("no space left on device")
        return write(self, data)

    source = saved(tiny(), tmp_path)
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no space left"):
        run_command("export", source, "-o", path)
    assert path.read_bytes() == b"earlier"
