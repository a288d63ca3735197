"""Carry chains of an ECP5 without the cells that place and route would put at their ends.

nextpnr adds a CCU2C, two LUTs, before a chain whose carry input is a constant, and another one
behind a chain whose carry output is a net, even if nothing reads it. About one LUT in ten is such a
cell. Yosys ends many chains in a CCU2C that is half empty; there is room for the constant.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

__all__ = ["shorten_chains"]

OPEN = "x"
"""A bit that stands for no net."""
CONSTANTS = ("0", "1")
PINS = "ABCD"
_Pins = dict[str, list[int | str]]
CARRIES = {"0": 0x0000, "1": 0x000F}
"""What a half of a CCU2C with all inputs high computes: no sum, and this carry."""


def shorten_chains(netlist: Path) -> None:
    """Change the carry chains of a synthesized netlist so that they need no cells at their ends.

    1. A carry output that nothing reads is left open.
    2. A carry input that nothing depends on is left open.
    3. Where the last half of a chain is empty, all halves move up by one place, and the first
       becomes the constant carry input.
    4. Otherwise, if the first half adds two nets, its sum becomes a LUT of its own, so that the
       half only makes a carry, which depends on no other.

    Sums do not change.
    """
    design = json.loads(netlist.read_text())
    for module in design["modules"].values():
        _shorten(module)
    netlist.write_text(json.dumps(design))


def _shorten(module: Mapping[str, Any]) -> None:
    readers = _readers(module)
    cells = {name: cell for name, cell in module["cells"].items() if cell["type"] == "CCU2C"}
    after = {_bit(cell, "CIN"): cell for cell in cells.values() if _bit(cell, "CIN") != OPEN}
    outputs = {_bit(cell, "COUT") for cell in cells.values()} - {OPEN}
    for name in [name for name, cell in cells.items() if _bit(cell, "CIN") not in outputs]:
        first = cells[name]
        chain = [first]
        while (following := after.get(_bit(chain[-1], "COUT"))) is not None:
            chain.append(following)
        last, carry = chain[-1], _bit(first, "CIN")
        ends = not readers[_bit(last, "COUT")]
        if ends:
            last["connections"]["COUT"] = [OPEN]
        if carry not in CONSTANTS:
            continue
        if not readers[_bit(first, "S0")] and not _propagates(first):
            first["connections"]["CIN"] = [OPEN]
        elif (
            ends
            and not readers[_bit(last, "S1")]
            and all(readers[_bit(cell, "COUT")] == 1 for cell in chain[:-1])
            and all(_joined(cell, half) for cell in chain for half in range(2))
        ):
            _move_up(chain, CARRIES[carry])
        elif _joined(first, 0) and _of_two(first):
            total = _take_sum_out(first, int(carry))
            if readers[_bit(total, "Z")]:
                module["cells"][f"{name}_sum"] = total


def _readers(module: Mapping[str, Any]) -> Counter[int | str]:
    """Count the inputs of cells and the outputs of the module that each net goes to."""
    readers = Counter[int | str]()
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                readers.update(bits)
    for port in module["ports"].values():
        if port["direction"] != "input":
            readers.update(port["bits"])
    del readers[OPEN]
    return readers


def _bit(cell: Mapping[str, Any], port: str) -> int | str:
    """Return the net at a port of one bit, or :data:`OPEN`."""
    bits: list[int | str] = cell["connections"].get(port) or [OPEN]
    return bits[0]


def _joined(cell: Mapping[str, Any], half: int) -> bool:
    return bool(cell["parameters"][f"INJECT1_{half}"] == "NO")


def _propagates(cell: Mapping[str, Any]) -> bool:
    """Whether the first half of a cell passes its carry on for any values of its inputs."""
    table = int(cell["parameters"]["INIT0"], 2)
    return not _joined(cell, 0) or any(table >> row & 1 for row in _rows(cell))


def _rows(cell: Mapping[str, Any]) -> Iterator[int]:
    """Yield the rows of the first half's table that its inputs can select."""
    nets = [_bit(cell, f"{pin}0") for pin in PINS]
    free = sorted({net for net in nets if net not in CONSTANTS}, key=str)
    for values in product((0, 1), repeat=len(free)):
        level = {"0": 0, "1": 1, **dict(zip(free, values, strict=True))}
        yield sum(level[net] << place for place, net in enumerate(nets))


def _of_two(cell: Mapping[str, Any]) -> bool:
    """Whether the first half of a cell depends on A and B only."""
    return all(_bit(cell, f"{pin}0") in CONSTANTS for pin in "CD")


def _take_sum_out(first: dict[str, Any], carry: int) -> dict[str, Any]:
    """Leave a half that only makes the next carry. Returns a LUT for the first sum."""
    table, pins = int(first["parameters"]["INIT0"], 2), first["connections"]
    constants = sum(int(_bit(first, f"{pin}0")) << PINS.index(pin) for pin in "CD")
    total = carries = 0
    for row in range(4):
        propagates = table >> constants + row & 1
        total |= (propagates ^ carry) << row
        carries |= (carry if propagates else table >> row & 1) << row
    inputs = {"A": pins["A0"], "B": pins["B0"], "C": ["0"], "D": ["0"]}
    lut = {
        "type": "LUT4",
        "parameters": {"INIT": f"{total:016b}"},
        "attributes": {},
        "port_directions": {**dict.fromkeys(inputs, "input"), "Z": "output"},
        "connections": {**inputs, "Z": pins["S0"]},
    }
    # While C and D are high, the table is 0: no carry propagates. Its lowest rows are the carry.
    first["parameters"]["INIT0"] = f"{carries:016b}"
    pins |= {"C0": ["1"], "D0": ["1"], "S0": [OPEN], "CIN": [OPEN]}
    return lut


def _move_up(chain: list[dict[str, Any]], carry: int) -> None:
    """Move all halves up by one place; the first becomes a carry."""
    moved = [_half(cell, half) for cell in chain for half in range(2)]
    empty, _ = moved.pop()
    pins: _Pins = {port: bits if port == "S{}" else ["1"] for port, bits in empty.items()}
    halves = [(pins, f"{carry:016b}"), *moved]
    for number, (connections, table) in enumerate(halves):
        cell, half = chain[number // 2], number % 2
        cell["parameters"][f"INIT{half}"] = table
        cell["connections"] |= {port.format(half): bits for port, bits in connections.items()}
    chain[0]["connections"]["CIN"] = [OPEN]


def _half(cell: Mapping[str, Any], half: int) -> tuple[_Pins, str]:
    """Return the connections and the table of half a CCU2C."""
    names = {f"{port}{{}}": f"{port}{half}" for port in (*PINS, "S")}
    connections = {name: [_bit(cell, port)] for name, port in names.items()}
    return connections, cell["parameters"][f"INIT{half}"]
