"""Multipliers and block RAMs in the order of the data flow, on sites that nextpnr knows."""

import json
from pathlib import Path
from typing import Any

import pytest

from systolith.build import place_and_route, read_netlist
from systolith.build.floorplan import SITES, pin_engines
from systolith.devices import DEVICES, find_part
from tests.support.slow import first_few


def _netlist(folder: Path, kinds: dict[str, str]) -> Path:
    """Write a netlist of unconnected cells, by name and type."""
    cells = {
        name: {
            "type": kind,
            "parameters": {},
            "attributes": {},
            "port_directions": {},
            "connections": {},
        }
        for name, kind in kinds.items()
    }
    top: dict[str, Any] = {"attributes": {"top": "1"}, "ports": {}, "netnames": {}, "cells": cells}
    path = folder / "top.json"
    path.write_text(json.dumps({"modules": {"top": top}}))
    return path


def test_engines_lie_from_left_to_right(tmp_path: Path) -> None:
    names = ["fc.pe_0", "accelerator.conv2.pe_10", "accelerator.conv2.pe_9", "conv1_queue.x"]
    kinds = dict.fromkeys([*names, "server.x"], "MULT18X18D") | {"conv2.memory": "DP16KD"}
    netlist = _netlist(tmp_path, kinds | {"conv1.sum": "TRELLIS_FF"})
    pinned = pin_engines(netlist, DEVICES["ecp5-25f"], ("conv1", "conv2", "fc"))
    cells = read_netlist(pinned).cells
    assert {name: cell["attributes"].get("BEL") for name, cell in cells.items()} == {
        "conv1_queue.x": "X4/Y13/MULT18_0",
        "accelerator.conv2.pe_9": "X5/Y13/MULT18_1",
        "accelerator.conv2.pe_10": "X8/Y13/MULT18_4",
        "fc.pe_0": "X9/Y13/MULT18_5",
        "server.x": "X13/Y13/MULT18_0",
        "conv2.memory": "X4/Y25/EBR0",
        "conv1.sum": None,
    }


@pytest.mark.parametrize("name", sorted(SITES))
def test_each_multiplier_and_block_ram_has_a_site(name: str) -> None:
    device = DEVICES["ecp5-25f" if name == "ecp5-12f" else name]
    for kind, count in (("MULT18X18D", device.dsps), ("DP16KD", device.block_rams)):
        sites = list(SITES[name].of(kind))
        assert len(set(sites)) == len(sites) == count


@pytest.mark.parametrize("name", first_few(["ecp5-25f", "ecp5-45f", "ecp5-85f"], 1))
def test_nextpnr_knows_all_sites(name: str, tmp_path: Path) -> None:
    device = DEVICES[name]
    kinds = {f"a.dsp_{n}": "MULT18X18D" for n in range(device.dsps)}
    kinds |= {f"a.ram_{n}": "DP16KD" for n in range(device.block_rams)}
    pinned = pin_engines(_netlist(tmp_path, kinds), device, ("a",))
    with pytest.raises(ValueError, match="reports no clock"):  # nothing is clocked
        place_and_route(pinned, find_part(name), freq_mhz=10, seed=1)
    log = (tmp_path / "seed1.router1.log").read_text()
    assert f"Placed {len(kinds)} cells based on constraints" in log
