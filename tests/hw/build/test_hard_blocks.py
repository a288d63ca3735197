"""Multipliers and block RAMs get sites near the LUTs of a draft, and nextpnr knows these sites."""

import json
from collections.abc import Mapping
from importlib import import_module
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.build import place_and_route, read_netlist, synthesize
from systolith.build.hard_blocks import SITES, _nearest, pin_hard_blocks, write_draft
from systolith.devices import DEVICES, Device, find_part
from tests.support.slow import first_few

PRODUCT = """
module top(input clk, input [17:0] a, b, output reg [35:0] o);
    reg [17:0] first, second;
    reg [35:0] product;
    always @(posedge clk) begin
        first <= a;
        second <= b;
        product <= first * second;
        o <= o + product;
    end
endmodule
"""


def _cell(kind: str, wires: tuple[int, ...] = (), bel: str | None = None) -> dict[str, Any]:
    return {
        "type": kind,
        "parameters": {},
        "attributes": {} if bel is None else {"NEXTPNR_BEL": bel},
        "port_directions": {},
        "connections": {str(wire): [wire] for wire in wires},
    }


def _netlist(path: Path, cells: Mapping[str, Any]) -> Path:
    top = {"attributes": {"top": "1"}, "ports": {}, "netnames": {}, "cells": cells}
    path.write_text(json.dumps({"modules": {"top": top}}))
    return path


def test_luts_stand_for_blocks_in_a_draft(tmp_path: Path) -> None:
    product = _cell("MULT18X18D", (1, 2, 3, 4, 5))
    product["port_directions"] = {str(n): "output" if n > 3 else "input" for n in range(1, 6)}
    product["connections"]["CLK0"] = [9]
    product["port_directions"]["CLK0"] = "input"
    cells = {"dsp": product, "sum": _cell("TRELLIS_FF", (4, 9))}
    netlist, draft = _netlist(tmp_path / "top.json", cells), tmp_path / "draft.json"
    assert write_draft(netlist, draft)
    found = read_netlist(draft).cells
    # Nothing reads wire 5; a clock says nothing about a place.
    assert set(found) == {"dsp.stand_in_0", "sum"}
    assert found["sum"] == cells["sum"]
    pins = found["dsp.stand_in_0"]["connections"]
    assert pins == {"A": [1], "B": [2], "C": [3], "D": [1], "Z": [4]}
    assert not write_draft(draft, tmp_path / "again.json")
    assert not (tmp_path / "again.json").exists()


def test_a_block_goes_to_the_site_next_to_its_luts(tmp_path: Path) -> None:
    blocks = {name: _cell("MULT18X18D") for name in ("right", "left", "lonely")}
    netlist = _netlist(tmp_path / "top.json", blocks | {"ram": _cell("DP16KD")})
    tiles = {"right": [(63, 20), (64, 12), (64, 20)], "left": [(23, 20)], "ram": [(39, 36)]}
    luts = {
        f"{block}.stand_in_{number}": _cell("TRELLIS_COMB", (), f"X{x}/Y{y}/SLICEA.COMB0")
        for block, places in tiles.items()
        for number, (x, y) in enumerate(places)
    }
    drafted, pinned = _netlist(tmp_path / "drafted.json", luts), tmp_path / "pinned.json"
    pin_hard_blocks(netlist, drafted, DEVICES["ecp5-25f"], pinned)
    cells = read_netlist(pinned).cells
    assert {name: cell["attributes"].get("BEL") for name, cell in cells.items()} == {
        "right": "X64/Y13/MULT18_4",
        "left": "X23/Y13/MULT18_1",
        "lonely": None,
        "ram": "X39/Y37/EBR3",
    }


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=4))
@settings(max_examples=50)
def test_no_other_choice_of_sites_is_nearer(places: list[tuple[int, int]]) -> None:
    tiles = [(0, 3), (4, 3), (11, 18), (19, 7), (20, 0)]
    names = [f"X{x}/Y{y}/MULT18_0" for x, y in tiles]

    def cost(choice: tuple[tuple[int, int], ...]) -> int:
        pairs = zip(places, choice, strict=True)
        return sum((abs(x - to_x) + abs(y - to_y)) ** 2 for (x, y), (to_x, to_y) in pairs)

    chosen = _nearest(places, names)
    assert len(set(chosen)) == len(places)
    least = min(cost(choice) for choice in permutations(tiles, len(places)))
    assert cost(tuple(tiles[names.index(name)] for name in chosen)) == least


@pytest.mark.parametrize("name", sorted(SITES))
def test_each_multiplier_and_block_ram_has_a_site(name: str) -> None:
    device = DEVICES["ecp5-25f" if name == "ecp5-12f" else name]
    for kind, count in (("MULT18X18D", device.dsps), ("DP16KD", device.block_rams)):
        sites = list(SITES[name].of(kind))
        assert len(set(sites)) == len(sites) == count


@pytest.mark.parametrize("name", first_few(["ecp5-25f", "ecp5-45f", "ecp5-85f"], 1))
def test_nextpnr_knows_all_sites(name: str, tmp_path: Path) -> None:
    cells = {}
    for kind in ("MULT18X18D", "DP16KD"):
        for site in SITES[name].of(kind):
            cells[site] = _cell(kind)
            cells[site]["attributes"]["BEL"] = site
    netlist = _netlist(tmp_path / "top.json", cells)
    with pytest.raises(ValueError, match="reports no clock"):  # nothing is clocked
        place_and_route(netlist, find_part(name), freq_mhz=10, seed=1)
    log = (tmp_path / "seed1.router1.log").read_text()
    assert f"Placed {len(cells)} cells based on constraints" in log


def test_the_static_placer_places_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = []

    def pin(netlist: Path, placed: Path, device: Device, pinned: Path) -> None:
        pin_hard_blocks(netlist, placed, device, pinned)
        cells = read_netlist(pinned).cells.values()
        wanted.extend(cell["attributes"].get("BEL") for cell in cells)

    module = import_module("systolith.build.place_and_route")
    monkeypatch.setattr(module, "pin_hard_blocks", pin)
    (tmp_path / "top.v").write_text(PRODUCT)
    part = find_part("ecp5-12f")
    netlist = synthesize(["top.v"], "top", tmp_path, part.device)
    report = place_and_route(netlist, part, freq_mhz=50, seed=1, placer="static")
    assert report.used["MULT18X18D"] == 1
    log, draft = ((tmp_path / f"seed1.router1.{name}").read_text() for name in ("log", "draft.log"))
    assert "Running Static placer" in log
    assert "Routing" not in draft
    cells = read_netlist(tmp_path / "seed1.router1.placed.json").cells.values()
    (multiplier,) = (cell["attributes"] for cell in cells if cell["type"] == "MULT18X18D")
    assert {multiplier["NEXTPNR_BEL"]} == set(wanted) - {None}
    assert not list(tmp_path.glob("*.draft.json")) + list(tmp_path.glob("*.pinned.json"))
