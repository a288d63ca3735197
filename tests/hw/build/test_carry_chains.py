"""Carry chains keep their sums and lose the cells at their ends."""

import json
import random
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from systolith.build.families.carry_chains import shorten_chains

ADD = 0x96AA
"""What Yosys writes into each half: A + B with C = 0 and D = 1."""
WIDTHS = range(2, 9)


def _chain(width: int, *, carry: str, tapped: int | None = None, last: bool = False) -> Any:
    """Make a module that adds two numbers as Yosys does; its inputs are nets 100 + bit, 200 + bit.

    The sum is at nets 300 + bit, the carry of cell n at net 400 + n. A port reads that of cell
    `tapped`, and that of the last cell if `last`.
    """
    cells = {}
    count = -(-width // 2)
    for number in range(count):
        ports: dict[str, list[int | str]] = {"CIN": [400 + number - 1] if number else [carry]}
        for half in range(2):
            bit = 2 * number + half
            used = bit < width
            ports |= {
                f"A{half}": [100 + bit if used else "0"],
                f"B{half}": [200 + bit if used else "0"],
                f"C{half}": ["0"],
                f"D{half}": ["1"],
                f"S{half}": [300 + bit],
            }
        ports["COUT"] = [400 + number]
        outputs = ("S0", "S1", "COUT")
        cells[f"cell_{number}"] = {
            "type": "CCU2C",
            "parameters": {
                **{f"INIT{half}": f"{ADD:016b}" for half in range(2)},
                **{f"INJECT1_{half}": "NO" for half in range(2)},
            },
            "port_directions": {port: "output" if port in outputs else "input" for port in ports},
            "connections": ports,
        }
    taps = [400 + number for number in (tapped, count - 1 if last else None) if number is not None]
    ports = {
        "i": {
            "direction": "input",
            "bits": [base + bit for base in (100, 200) for bit in range(width)],
        },
        "o": {"direction": "output", "bits": [300 + bit for bit in range(width)] + taps},
    }
    return {"cells": cells, "ports": ports}


def _shortened(module: Any, folder: Path) -> Any:
    (folder / "top.json").write_text(json.dumps({"modules": {"top": module}}))
    shorten_chains(folder / "top.json")
    return json.loads((folder / "top.json").read_text())["modules"]["top"]


def _evaluate(module: Any, inputs: Mapping[int, int], rng: random.Random) -> list[int]:
    """Compute the outputs; an open input has a random value."""
    level: dict[int | str, int] = {"0": 0, "1": 1, **inputs}
    cells = [cell for cell in module["cells"].values() if cell["type"] == "CCU2C"]
    for cell in module["cells"].values():
        if cell["type"] == "LUT4":
            pins = {port: bits[0] for port, bits in cell["connections"].items()}
            row = sum(level[pins[pin]] << place for place, pin in enumerate("ABCD"))
            level[pins["Z"]] = int(cell["parameters"]["INIT"], 2) >> row & 1
    while cells:
        cell = next(c for c in cells if c["connections"]["CIN"][0] in {"x", *level})
        cells.remove(cell)
        pins = {port: bits[0] for port, bits in cell["connections"].items()}
        carry = level.get(pins["CIN"], rng.randrange(2))
        for half in range(2):
            table = int(cell["parameters"][f"INIT{half}"], 2)
            row = [level[pins[f"{pin}{half}"]] for pin in "ABCD"]
            on = table >> sum(value << place for place, value in enumerate(row)) & 1
            made = table >> sum(value << place for place, value in enumerate(row[:2])) & 1
            if pins[f"S{half}"] != "x":
                level[pins[f"S{half}"]] = on ^ carry
            carry = carry if on else made
        level[pins["COUT"]] = carry
    return [level[bit] for bit in module["ports"]["o"]["bits"]]


def _ends(module: Any) -> int:
    """Count the cells that nextpnr adds: at a carry input or output that is a net."""
    cells = [cell for cell in module["cells"].values() if cell["type"] == "CCU2C"]
    inputs = [cell["connections"]["CIN"][0] for cell in cells]
    outputs = [cell["connections"]["COUT"][0] for cell in cells]
    starts = sum(bit != "x" and bit not in outputs for bit in inputs)
    return starts + sum(bit != "x" and bit not in inputs for bit in outputs)


@pytest.mark.parametrize("carry", ["0", "1"])
@pytest.mark.parametrize("width", WIDTHS)
def test_sums_stay_and_ends_go(width: int, carry: str, tmp_path: Path) -> None:
    module, rng = _chain(width, carry=carry), random.Random(width)
    shortened = _shortened(module, tmp_path)
    assert _ends(module) == 2
    assert _ends(shortened) == 0
    luts = 1 - width % 2  # where no half is free for the carry
    assert len(shortened["cells"]) == len(module["cells"]) + luts
    for _ in range(50):
        inputs = {base + bit: rng.randrange(2) for base in (100, 200) for bit in range(width)}
        outputs = _evaluate(shortened, inputs, rng)
        first, second = (
            sum(inputs[base + bit] << bit for bit in range(width)) for base in (100, 200)
        )
        total = first + second + int(carry)
        assert outputs == [total >> bit & 1 for bit in range(width)]
        assert outputs == _evaluate(module, inputs, rng)


def test_a_carry_that_is_read_stays(tmp_path: Path) -> None:
    for module, ends in ((_chain(7, carry="0", tapped=1), 0), (_chain(8, carry="0", last=True), 1)):
        shortened = _shortened(module, tmp_path)
        assert _ends(shortened) == ends
        rng = random.Random(0)
        for _ in range(50):
            inputs = {base + bit: rng.randrange(2) for base in (100, 200) for bit in range(8)}
            assert _evaluate(shortened, inputs, rng) == _evaluate(module, inputs, rng)


@pytest.mark.parametrize("seed", range(40))
def test_any_first_half_of_two_nets_may_lose_its_sum(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    module = _chain(8, carry=rng.choice("01"))
    first = module["cells"]["cell_0"]
    first["parameters"]["INIT0"] = f"{rng.getrandbits(16):016b}"
    first["connections"] |= {pin: [rng.choice("01")] for pin in ("C0", "D0")}
    first["connections"][rng.choice(["A0", "B0"])] = [rng.choice(["0", "1", 100, 200])]
    shortened = _shortened(module, tmp_path)
    assert _ends(shortened) == 0
    for values in product((0, 1), repeat=2):
        inputs = {base + bit: rng.randrange(2) for base in (100, 200) for bit in range(8)}
        inputs |= {100: values[0], 200: values[1]}
        assert _evaluate(shortened, inputs, rng) == _evaluate(module, inputs, rng)


def test_a_first_half_of_more_nets_keeps_its_sum(tmp_path: Path) -> None:
    module = _chain(8, carry="1")
    module["cells"]["cell_0"]["connections"]["C0"] = [107]
    assert _shortened(module, tmp_path)["cells"]["cell_0"] == module["cells"]["cell_0"]


def test_a_carry_input_that_nothing_depends_on_is_open(tmp_path: Path) -> None:
    """A sum with a carry as its lowest bit: that bit is added to itself."""
    module = _chain(6, carry="0")
    module["cells"]["cell_0"]["connections"]["B0"] = [100]
    module["ports"]["o"]["bits"].remove(300)
    shortened = _shortened(module, tmp_path)
    assert _ends(shortened) == 0
    rng = random.Random(0)
    for _ in range(50):
        inputs = {base + bit: rng.randrange(2) for base in (100, 200) for bit in range(6)}
        assert _evaluate(shortened, inputs, rng) == _evaluate(module, inputs, rng)


def test_a_carry_of_the_design_is_no_constant(tmp_path: Path) -> None:
    module = _chain(5, carry="0")
    module["cells"]["cell_0"]["connections"]["CIN"] = [500]
    assert _shortened(module, tmp_path)["cells"]["cell_0"] == module["cells"]["cell_0"]
