"""Cells by engine: before and after placement, and as nextpnr counts them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from systolith.build import CellCounts, cells_by_engine, engine_of, place_and_route, synthesize
from systolith.devices import find_part

DESIGN = """
module top(input clk, input [7:0] i, output reg o);
    wire [11:0] sum;
    wire large;
    adder conv1(.clk(clk), .i(i), .sum(sum));
    queue pool1(.clk(clk), .i(sum[3:0]), .at(i[3:0]), .large(large));
    always @(posedge clk) o <= large ^ i[0];
endmodule
module adder(input clk, input [7:0] i, output reg [11:0] sum);
    always @(posedge clk) sum <= sum > 12'd1000 ? sum - i : sum + {i, i[3:0]};
endmodule
module queue(input clk, input [3:0] i, input [3:0] at, output reg large);
    reg [3:0] words [0:15];
    reg [3:0] number;
    always @(posedge clk) begin
        number <= number + 1;
        words[number] <= i;
        large <= words[at] > 4'd9;
    end
endmodule
"""


@pytest.mark.parametrize(
    ("cell", "engine"),
    [
        ("conv1.array.pe_0_0.sum_TRELLIS_FF_Q", "conv1"),
        ("accelerator.conv1.array.sum_TRELLIS_FF_Q", "conv1"),
        ("server.receiver.state_LUT4_Z", "server"),
        ("i__ready_LUT4_Z", "other"),
        ("$PACKER_GND", "other"),
        ("$auto$a.v:12.3", "other"),
    ],
)
def test_names_of_cells_begin_with_their_engine(cell: str, engine: str) -> None:
    assert engine_of(cell) == engine


def test_counts_agree_before_and_after_placement_and_with_the_report(tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(DESIGN)
    part = find_part("ecp5-12f")
    netlist = synthesize(["top.v"], "top", tmp_path, part.device)
    report = place_and_route(netlist, part, freq_mhz=50, seed=1, pins=False)
    before, after = (
        cells_by_engine(netlist),
        cells_by_engine(tmp_path / "seed1.router1.placed.json"),
    )
    assert {"conv1", "pool1", "other"} == set(before) == set(after)
    constants = after["other"].luts - before["other"].luts
    assert constants in (0, 1, 2)
    assert after == before | {"other": before["other"] + CellCounts(luts=constants)}
    assert sum(each.luts for each in after.values()) == report.used["TRELLIS_COMB"]
    assert sum(each.flip_flops for each in after.values()) == report.used["TRELLIS_FF"]
    assert before["conv1"].flip_flops == 12
    assert before["pool1"].luts >= 6


def _netlist(path: Path, cells: Mapping[str, Any], top: str = "1") -> Path:
    module = {"attributes": {"top": top}, "ports": {}, "cells": cells}
    path.write_text(json.dumps({"modules": {"x": module}}))
    return path


def _carry(carry_in: list[Any], carry_out: list[Any]) -> dict[str, Any]:
    return {"type": "CCU2C", "connections": {"CIN": carry_in, "COUT": carry_out}}


def test_a_chain_has_a_cell_more_at_each_end_that_is_connected(tmp_path: Path) -> None:
    cells = {
        "ready_1": _carry(["0"], [10]),
        "conv1.sum_1": _carry([10], [11]),
        "ready_2": _carry([11], [12]),
        "conv2.sum_1": _carry([], [20]),
        "conv2.sum_2": _carry([20], []),
        "alone": _carry([], []),
    }
    found = cells_by_engine(_netlist(tmp_path / "x.json", cells))
    assert found == {
        "conv1": CellCounts(luts=6 + 4),
        "conv2": CellCounts(luts=4),
        "other": CellCounts(luts=2),
    }
    assert list(found) == ["conv1", "conv2", "other"]


def test_multipliers_memories_and_registers_are_counted(tmp_path: Path) -> None:
    types = ["MULT18X18D", "DP16KD", "DP16KD", "TRELLIS_FF", "PFUMX", "TRELLIS_DPR16X4"]
    cells = {f"a.{n}": {"type": kind, "connections": {}} for n, kind in enumerate(types)}
    found = cells_by_engine(_netlist(tmp_path / "x.json", cells))
    assert found == {"a": CellCounts(luts=6, flip_flops=1, dsps=1, block_rams=2)}


def test_a_file_without_a_top_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x.json has no top module$"):
        cells_by_engine(_netlist(tmp_path / "x.json", {}, top="0"))
