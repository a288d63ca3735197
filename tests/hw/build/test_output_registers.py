"""Gowin block RAMs take the flip-flops behind them, and the netlist computes the same."""

import copy
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from systolith.build.families.output_registers import absorb_registers

CLOCK, OTHER_CLOCK, ONE, ZERO = 1, 2, 3, 4
READ, DATA, OUT = 100, 200, 300
"""First net of the address, of what the block RAM reads, and of its flip-flops."""
BITS, USED = 36, 20
WORDS = [random.Random(address).getrandbits(BITS) for address in range(4)]
DELAYED = {"SPX9": "BIT_WIDTH", "SDPX9B": "BIT_WIDTH_1", "pROMX9": "BIT_WIDTH"}
"""Parameter with the width of a word."""


def _flip_flop(number: int) -> dict[str, Any]:
    return {
        "type": "DFF",
        "parameters": {},
        "port_directions": {"CLK": "input", "D": "input", "Q": "output"},
        "connections": {"CLK": [CLOCK], "D": [DATA + number], "Q": [OUT + number]},
    }


def _module(kind: str = "SPX9") -> dict[str, Any]:
    """Make a memory that is read at two bits of address; nothing reads the last bits."""
    clock = "CLKB" if kind == "SDPX9B" else "CLK"
    memory = {
        "type": kind,
        "parameters": {DELAYED[kind]: f"{BITS:032b}", "READ_MODE": "0"},
        "port_directions": {
            **dict.fromkeys((clock, "AD", "OCE", clock.replace("CLK", "RESET")), "input"),
            "DO": "output",
        },
        "connections": {
            clock: [CLOCK],
            "OCE": [ONE],
            clock.replace("CLK", "RESET"): [ZERO],
            "AD": [READ, READ + 1],
            "DO": list(range(DATA, DATA + BITS)),
        },
    }
    flip_flops = {f"data_{number}": _flip_flop(number) for number in range(USED)}
    ports = {"o": {"direction": "output", "bits": list(range(OUT, OUT + USED))}}
    constants = {
        kind: {
            "type": kind,
            "parameters": {},
            "port_directions": {kind[0]: "output"},
            "connections": {kind[0]: [wire]},
        }
        for kind, wire in (("VCC", ONE), ("GND", ZERO))
    }
    return {"ports": ports, "cells": {"memory": memory, **constants, **flip_flops}}


def _absorbed(module: Any, folder: Path) -> Any:
    path = folder / "top.json"
    path.write_text(json.dumps({"modules": {"top": module}}))
    absorb_registers(path)
    return json.loads(path.read_text())["modules"]["top"]


def _outputs(module: Any, addresses: Sequence[int]) -> list[list[int]]:
    """Simulate cycle by cycle."""
    cells = module["cells"].values()
    (memory,) = (cell for cell in cells if cell["type"] in DELAYED)
    stages = [0] * (1 + int(memory["parameters"]["READ_MODE"], 2))
    level: dict[int, int] = {}
    rows = []
    for address in addresses:
        for number, bit in enumerate(memory["connections"]["DO"]):
            level[bit] = stages[-1] >> number & 1
        rows.append([level.get(bit, 0) for bit in module["ports"]["o"]["bits"]])
        flip_flops = [cell["connections"] for cell in cells if cell["type"] == "DFF"]
        level |= {pins["Q"][0]: level[pins["D"][0]] for pins in flip_flops}
        stages = [WORDS[address], *stages[:-1]]
    return rows


@pytest.mark.parametrize("kind", DELAYED)
def test_flip_flops_become_the_output_register(kind: str, tmp_path: Path) -> None:
    before = _module(kind)
    after = _absorbed(before, tmp_path)
    assert list(after["cells"]) == ["memory", "VCC", "GND"]
    assert after["cells"]["memory"]["parameters"]["READ_MODE"] == "1"
    rng = random.Random(1)
    addresses = [rng.randrange(len(WORDS)) for _ in range(100)]
    assert _outputs(after, addresses) == _outputs(before, addresses)
    assert any(map(any, _outputs(after, addresses)))
    assert _absorbed(after, tmp_path) == after


def _set(*path: str, value: Any) -> Callable[[Any], None]:
    def change(cells: Any) -> None:
        *outer, last = path
        for name in outer:
            cells = cells[name]
        cells[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("memory", "parameters", "BIT_WIDTH", value=f"{18:032b}"),
        _set("memory", "type", value="DPX9B"),
        _set("data_3", "type", value="DFFE"),
        _set("data_3", "parameters", "INIT", value="1"),
        _set("data_3", "connections", "CLK", value=[OTHER_CLOCK]),
        _set("data_3", "connections", "D", value=[READ]),
        _set("data_3", "connections", "D", value=[DATA + 4]),
        _set("memory", "connections", "OCE", value=[ZERO]),
        _set("memory", "connections", "RESET", value=[ONE]),
        lambda cells: cells.update(more=_flip_flop(3)),
        lambda cells: [cells.pop(f"data_{number}") for number in range(USED)],
    ],
    ids=[
        *("narrow", "two ports", "enable", "starts at 1", "clock", "skipped", "twice"),
        *("register disabled", "register reset", "read by two", "read by none"),
    ],
)
def test_other_flip_flops_stay(change: Callable[[Any], None], tmp_path: Path) -> None:
    module = _module()
    change(module["cells"])
    if "data_3" in module["cells"] and module["cells"]["data_3"]["connections"]["D"] == [READ]:
        module["ports"]["o"]["bits"].append(DATA + 3)
    assert _absorbed(copy.deepcopy(module), tmp_path) == module


def test_a_bit_that_leaves_the_module_is_not_delayed(tmp_path: Path) -> None:
    module = _module()
    module["ports"]["o"]["bits"].append(DATA + 1)
    assert _absorbed(copy.deepcopy(module), tmp_path) == module
