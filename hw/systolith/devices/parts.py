"""Parts as sold: a device in a package, with a speed grade."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from systolith.devices.device import DEVICES, Device

__all__ = ["VARIANTS", "Part", "Variants", "find_part", "variants_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A device, its speed grade and its package.

    Parameters
    ----------
    device : Device
    speed : int, optional
        Higher is faster; None if the device has one grade only.
    package : str, optional
        None if it does not matter.
    """

    device: Device
    speed: int | None
    package: str | None

    def __str__(self) -> str:
        speed = f"speed {self.speed}" if self.speed is not None else ""
        return " ".join(filter(None, (self.device.name, speed, self.package)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """Speed grades and packages of a device; the first of each is the default.

    Parameters
    ----------
    speeds : tuple of int
        Speed grades, the default first; empty if there is no choice.
    packages : tuple of str
        The default first; empty if they do not matter.
    clock_mhz : float
        Target clock of a design, unless the user asks for another.
    alone : mapping of str to str, optional
        Pins of `clk`, `i` and `o` for a design without a board, whose other ports are on a shift
        register between two pins. Empty if the tools choose the pins. None if the device has a pin
        for every port.
    """

    speeds: tuple[int, ...] = ()
    packages: tuple[str, ...] = ()
    clock_mhz: float
    alone: Mapping[str, str] | None = None


ECP5 = {
    "ecp5-12f": ("CABGA381", "CABGA256"),
    "ecp5-25f": ("CABGA381", "CABGA256"),
    "ecp5-45f": ("CABGA381", "CABGA256", "CABGA554"),
    "ecp5-85f": ("CABGA381", "CABGA554", "CABGA756"),
}
"""Packages by device."""
NEXUS_PINS = {"clk": "56", "i": "44", "o": "45"}

VARIANTS = {
    **{
        device: Variants(speeds=(6, 7, 8), packages=packages, clock_mhz=100)
        for device, packages in ECP5.items()
    },
    "gw1nr-9": Variants(
        speeds=(6,), packages=("QN88P",), clock_mhz=27, alone={"clk": "52", "i": "18", "o": "17"}
    ),
    "gw2ar-18": Variants(
        speeds=(8,), packages=("QN88",), clock_mhz=27, alone={"clk": "4", "i": "70", "o": "69"}
    ),
    "ice40-up5k": Variants(packages=("sg48", "uwg30"), clock_mhz=12, alone={}),
    "ice40-hx8k": Variants(packages=("ct256", "cb132", "cm225", "bg121"), clock_mhz=25, alone={}),
    **{
        device: Variants(speeds=(7, 8, 9), packages=("SG72",), clock_mhz=50, alone=NEXUS_PINS)
        for device in ("lifcl-17", "lifcl-40")
    },
    **{device: Variants(clock_mhz=100) for device in ("xc7a35t", "xc7a100t", "xc7z020")},
}
"""By device name."""


def variants_of(device: Device) -> Variants:
    """Look up the speed grades and packages of a device."""
    return VARIANTS[device.name]


def find_part(device: str, *, speed: int | None = None, package: str | None = None) -> Part:
    """Look up a part.

    Parameters
    ----------
    device : str
    speed : int, optional
        Speed grade; default: the first of the device's variants.
    package : str, optional
        Default: the first of the device's variants.

    Raises
    ------
    ValueError
        With every problem.
    """
    if device not in DEVICES:
        raise ValueError(f"there is no device {device!r}; there are {', '.join(DEVICES)}")
    variants = variants_of(DEVICES[device])
    problems = []
    if speed is not None and speed not in variants.speeds:
        problems.append(_wrong("speed", str(speed), device, map(str, variants.speeds)))
    if package is not None and package not in variants.packages:
        problems.append(_wrong("package", package, device, variants.packages))
    if problems:
        raise ValueError("; ".join(problems))
    return Part(
        device=DEVICES[device],
        speed=speed or next(iter(variants.speeds), None),
        package=package or next(iter(variants.packages), None),
    )


def _wrong(what: str, given: str, device: str, available: Iterable[str]) -> str:
    if not (names := ", ".join(available)):
        return f"{device} comes in no {what} that matters, got {given}"
    return f"{what} of {device} must be one of {names}, got {given}"
