"""FPGAs as one can buy them: a device in a package, at a speed."""

from collections.abc import Mapping
from dataclasses import dataclass

from systolith.plan import Device

__all__ = ["Part", "Variants"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A device, its speed grade and its package.

    Parameters
    ----------
    device : Device
    speed : int, optional
        Higher is faster; None if there is but one.
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
    """What a device is sold as, and how it is used if nothing is said.

    Parameters
    ----------
    speeds : tuple of int
        Grades, the usual one first; none if they cannot be chosen.
    packages : tuple of str
        The usual one first; none if they do not matter.
    clock_mhz : float
        Clock that is wanted of a design.
    alone : mapping of str to str, optional
        Pins for a design that is for no board, whose ports are on a chain between two pins: those
        of `clk`, `i` and `o`; empty if the tools find them. None if ports can all be pins.
    """

    speeds: tuple[int, ...] = ()
    packages: tuple[str, ...] = ()
    clock_mhz: float
    alone: Mapping[str, str] | None = None
