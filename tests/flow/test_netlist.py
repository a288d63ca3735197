"""What was synthesized computes what the network does; if it does not, that is seen."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.network import save
from tests.support.networks import convolution, network_with_heads

IMAGES = 3
OPTIONS = ["--device", "ecp5-12f", "--clock-mhz", "20", "--multipliers", "1"]
NETLIST = Path("build/systolith_top.json")


def _build(folder: Path) -> tuple[int, dict[str, Any], str]:
    result = CliRunner().invoke(
        app,
        ["build", str(folder / "network.json"), "-o", str(folder), *OPTIONS]
        + ["--check-netlist", str(IMAGES), "--json"],
    )
    return result.exit_code, json.loads(result.stdout), result.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("netlist")
    network = convolution(channels=8, filters=4, size=(3, 3), kept=(2, 8))
    save(network, folder / "network.json")
    code, report, _ = _build(folder)
    return folder, code, report


def test_a_netlist_computes_what_the_network_does(
    built: tuple[Path, int, dict[str, Any]],
) -> None:
    _, code, report = built
    assert code == 0
    assert report["verification"] == {
        "passed": True,
        "hardware": True,
        "checks": [
            {
                "name": "synthesized netlist",
                "hardware": True,
                "what": "all outputs and cycles of 3 images",
                "passed": True,
                "findings": [],
            }
        ],
    }


def _invert_a_lut(cells: dict[str, Any]) -> None:
    """In what selects an activation."""
    name = min(
        name
        for name, cell in cells.items()
        if cell["type"] == "LUT4" and name.startswith("conv.array.pe_0_0.")
    )
    init = cells[name]["parameters"]["INIT"]
    cells[name]["parameters"]["INIT"] = "".join("10"[int(bit)] for bit in init)


def _flip_a_weight_bit(cells: dict[str, Any]) -> None:
    """In the first word of a memory of weights."""
    name = min(
        name
        for name, cell in cells.items()
        if cell["type"] == "DP16KD" and name.startswith("conv.array.weights_0_0.")
    )
    words = cells[name]["parameters"]["INITVAL_00"]
    cells[name]["parameters"]["INITVAL_00"] = words[:-1] + "10"[int(words[-1])]


@pytest.mark.parametrize("mutate", [_invert_a_lut, _flip_a_weight_bit])
def test_a_netlist_with_one_cell_changed_is_found(
    mutate: Callable[[dict[str, Any]], None],
    built: tuple[Path, int, dict[str, Any]],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(built[0], folder)
    content = json.loads((folder / NETLIST).read_text())
    mutate(content["modules"]["systolith_top"]["cells"])
    (folder / NETLIST).write_text(json.dumps(content))
    code, report, _ = _build(folder)
    assert code == 1
    (check,) = report["verification"]["checks"]
    assert not check["passed"] and not report["verification"]["passed"]
    assert check["findings"][0].startswith("layer 'conv', image 0, channel ")
    assert ": expected " in check["findings"][0] and ", got " in check["findings"][0]


@pytest.mark.slow
def test_a_board_of_cells_answers_with_several_outputs(tmp_path: Path) -> None:
    save(network_with_heads(), tmp_path / "network.json")
    result = CliRunner().invoke(
        app,
        ["build", str(tmp_path / "network.json"), "-o", str(tmp_path), "--board", "ulx3s-12f"]
        + ["--clock-mhz", "20", "--multipliers", "4", "--check-netlist", "2", "--json"],
    )
    checks = json.loads(result.stdout)["verification"]["checks"]
    assert result.exit_code == 0 and [check["passed"] for check in checks] == [True]


def test_a_family_without_models_is_refused_before_work_starts(tmp_path: Path) -> None:
    save(convolution(channels=1, filters=1, size=(2, 2)), tmp_path / "network.json")
    result = CliRunner().invoke(
        app,
        ["build", str(tmp_path / "network.json"), "-o", str(tmp_path / "out")]
        + ["--device", "ice40-up5k", "--check-netlist", "1"],
    )
    assert result.exit_code == 2
    assert "which there are for Lattice ECP5" in result.stderr
    assert not (tmp_path / "out" / "build").exists()
