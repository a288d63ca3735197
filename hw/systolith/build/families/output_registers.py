"""Output registers of Gowin block RAMs.

Yosys reads a block RAM without the register at its output and puts a flip-flop behind each bit.
These devices have only three flip-flops for four LUTs.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["absorb_registers"]

WIDTHS = {"pROMX9": "BIT_WIDTH", "SPX9": "BIT_WIDTH", "SDPX9B": "BIT_WIDTH_1"}
"""Parameter with the bits of a word that is read, by the cell types that have one read port."""
RELIABLE_BITS = 36
"""The output registers of other words are faulty on some chips; nextpnr makes flip-flops of
them."""
CLOCKS = ("CLKB", "CLK")
"""Clock of the read port, if a cell has one of its own, or of the cell."""


def absorb_registers(netlist: Path) -> None:
    """Change a synthesized netlist so that block RAMs use their output registers.

    This is done for block RAMs with words of 36 bits whose every output goes to one flip-flop, or
    to nothing. The flip-flops must have the clock of the block RAM and neither enable nor reset;
    the enable of the output register must be 1, its reset 0. The netlist computes the same.
    """
    design = json.loads(netlist.read_text())
    for module in design["modules"].values():
        _absorb(module)
    netlist.write_text(json.dumps(design))


def _absorb(module: Mapping[str, Any]) -> None:
    cells = module["cells"]
    readers: defaultdict[int | str, list[str]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    readers[bit].append(name)
    for port in module["ports"].values():
        for bit in port["bits"]:
            readers[bit].append("")
    high, low = ({value, *_driven(cells, kind)} for value, kind in (("1", "VCC"), ("0", "GND")))
    for memory in [cell for cell in cells.values() if _has_register(cell)]:
        if not (high.issuperset(memory["connections"]["OCE"]) and low.issuperset(_reset(memory))):
            continue
        outputs = memory["connections"]["DO"]
        (clock,) = next(
            memory["connections"][name] for name in CLOCKS if name in memory["connections"]
        )
        behind = {bit: readers[bit] for bit in outputs if readers[bit]}
        if not behind or not all(
            len(names) == 1 and _delays(cells.get(names[0]), bit, clock)
            for bit, names in behind.items()
        ):
            continue
        registers = {bit: cells.pop(name) for bit, (name,) in behind.items()}
        memory["parameters"]["READ_MODE"] = "1"
        memory["connections"]["DO"] = [
            registers[bit]["connections"]["Q"][0] if bit in registers else bit for bit in outputs
        ]


def _driven(cells: Mapping[str, Any], kind: str) -> set[int | str]:
    """Wires that cells of a type drive."""
    return {
        bit
        for cell in cells.values()
        if cell["type"] == kind
        for bits in cell["connections"].values()
        for bit in bits
    }


def _reset(memory: Mapping[str, Any]) -> list[int | str]:
    """Wires of the reset of the read port, if the cell has one of its own, or of the cell."""
    pins = memory["connections"]
    wires: list[int | str] = pins.get("RESETB", pins.get("RESET"))
    return wires


def _has_register(cell: Mapping[str, Any]) -> bool:
    """Whether a cell is a block RAM with a reliable output register that is not used."""
    width = WIDTHS.get(cell["type"])
    return (
        width is not None
        and int(cell["parameters"][width], 2) == RELIABLE_BITS
        and int(cell["parameters"]["READ_MODE"], 2) == 0
    )


def _delays(cell: Mapping[str, Any] | None, bit: int | str, clock: int | str) -> bool:
    """Whether a cell delays a bit by one cycle, from 0 on."""
    return (
        cell is not None
        and cell["type"] == "DFF"
        and cell["connections"]["D"] == [bit]
        and cell["connections"]["CLK"] == [clock]
        and "1" not in cell["parameters"].get("INIT", "0")
    )
