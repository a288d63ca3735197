"""The family of each device, and parts by name."""

from collections.abc import Iterable

from systolith.fpga.ecp5 import ECP5
from systolith.fpga.flow import Flow
from systolith.fpga.gowin import GOWIN
from systolith.fpga.ice40 import ICE40
from systolith.fpga.nexus import NEXUS
from systolith.fpga.parts import Part, Variants
from systolith.fpga.xilinx import XILINX7
from systolith.plan import DEVICES, Device, Family

__all__ = ["FLOWS", "find_part", "flow_of", "variants_of"]

FLOWS = {
    Family.ECP5: ECP5,
    Family.GOWIN: GOWIN,
    Family.ICE40: ICE40,
    Family.NEXUS: NEXUS,
    Family.XILINX7: XILINX7,
}
"""Tools by family."""


def flow_of(device: Device) -> Flow:
    """Look up the tools for a device."""
    return FLOWS[device.family]


def variants_of(device: Device) -> Variants:
    """Look up what a device is sold as."""
    return flow_of(device).variants[device.name]


def find_part(device: str, *, speed: int | None = None, package: str | None = None) -> Part:
    """Look a part up.

    Parameters
    ----------
    device : str
    speed : int, optional
        Grade; else the usual one.
    package : str, optional
        Else the usual one.

    Raises
    ------
    ValueError
        With all that is wrong.
    """
    if device not in DEVICES:
        raise ValueError(f"there is no device {device!r}; there are {', '.join(DEVICES)}")
    found = DEVICES[device]
    variants = variants_of(found)
    problems = []
    if speed is not None and speed not in variants.speeds:
        problems.append(_wrong("speed", str(speed), device, map(str, variants.speeds)))
    if package is not None and package not in variants.packages:
        problems.append(_wrong("package", package, device, variants.packages))
    if problems:
        raise ValueError("; ".join(problems))
    return Part(
        device=found,
        speed=speed or next(iter(variants.speeds), None),
        package=package or next(iter(variants.packages), None),
    )


def _wrong(what: str, given: str, device: str, there: Iterable[str]) -> str:
    if not (names := ", ".join(there)):
        return f"{device} comes in no {what} that matters, got {given}"
    return f"{what} of {device} must be one of {names}, got {given}"
