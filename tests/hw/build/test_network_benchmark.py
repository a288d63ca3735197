"""The benchmark of whole networks names resources alike on all families, in new and old results."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.physical import table
from benchmarks.physical.designs import PLACEABLE, find_network
from benchmarks.physical.network import summarize
from systolith.build import Attempt, BuildResult, PlacementReport
from systolith.devices import Constraints, find_part
from systolith.emit import emit_alone
from systolith.plan import plan_network
from tests.support.networks import small_network

PLAN = plan_network(small_network(), multipliers=12)
CELLS = {
    "ecp5-25f": {"TRELLIS_COMB": 700, "TRELLIS_FF": 600, "MULT18X18D": 12, "DP16KD": 9},
    "gw2ar-18": {
        **{"LUT4": 500, "ALU": 120, "RAM16SDP4": 20, "DFF": 600},
        **{"MULT9X9": 16, "MULT18X18": 4, "BSRAM": 9},
    },
    "lifcl-40": {"OXIDE_COMB": 700, "OXIDE_FF": 600, "MULT18_CORE": 12, "OXIDE_EBR": 9},
}
"""Cells as nextpnr names them, for the same resources on each device."""


def _summary(device: str, folder: Path) -> dict[str, Any]:
    used = CELLS[device]
    report = PlacementReport(
        fmax_mhz=80.0, target_mhz=60.0, used=used, available=dict.fromkeys(used, 999), path=None
    )
    placed = BuildResult(routes={Attempt(1, "router1"): report}, bitstream=None, folder=folder)
    return summarize(PLAN, find_part(device), 60.0, placed)


@pytest.mark.parametrize("device", CELLS)
def test_resources_have_the_same_names_on_all_families(device: str, tmp_path: Path) -> None:
    found = _summary(device, tmp_path)
    assert {use["name"]: use["used"] for use in found["resources"]} == {
        "LUTs": 700,
        "flip-flops": 600,
        "multipliers": 12,
        "block RAMs": 9,
    }
    assert found["luts_per_multiplier"] == round(700 / PLAN.multipliers, 1)
    frames = 80e6 / PLAN.cycles_per_frame
    assert found["frames_per_second_and_dsp"] == round(frames / 12, 2)
    assert json.loads(json.dumps(found))["used"] == CELLS[device]


def test_a_result_says_which_paths_its_clock_leaves_out(tmp_path: Path) -> None:
    untimed = {device: _summary(device, tmp_path)["untimed"] for device in CELLS}
    gowin = "paths into and out of multipliers"
    assert untimed == {"ecp5-25f": None, "gw2ar-18": gowin, "lifcl-40": None}


def test_the_table_reads_results_of_all_families_and_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device in CELLS:
        found = {"network": "digits", **_summary(device, tmp_path)}
        if device == "ecp5-25f":
            for later in ("resources", "untimed", "bitstream"):
                del found[later]
        (tmp_path / f"digits-{device}-speed1.json").write_text(json.dumps(found))
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    rows = [row.split(" | ") for row in table.network_rows()][2 : 2 + len(CELLS)]
    assert [row[1].split()[0] for row in rows] == list(CELLS)
    assert [row[2] for row in rows] == ["700"] * len(CELLS)
    assert [row[4:6] for row in rows] == [["12", "9"]] * len(CELLS)
    without = "80.0 MHz without paths into and out of multipliers"
    assert [row[6] for row in rows] == ["80.0 MHz", without, "80.0 MHz"]


def test_a_design_without_a_board_has_the_cells_and_pins_of_its_part() -> None:
    verilog, constraints = emit_alone(PLAN, find_part("ecp5-25f"))
    assert constraints == Constraints(pins={})
    assert "MULT18X18D" in verilog and "i__payload" in verilog
    verilog, constraints = emit_alone(PLAN, find_part("gw2ar-18"))
    assert constraints.pins == {"clk": "4", "i": "70", "o": "69"}
    assert "MULT9X9" in verilog and "module systolith_top(i, o, clk);" in verilog


def test_every_network_with_a_name_can_be_placed() -> None:
    assert PLACEABLE[0] == "digits"
    assert find_network("digits").name == "digits"
