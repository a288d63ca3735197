"""FPGAs as one can buy them: a device in a package, at a speed."""

from dataclasses import dataclass

from systolith.plan import DEVICES, Device

__all__ = ["ECP5_SPEEDS", "Part", "find_part"]

ECP5_SPEEDS = (6, 7, 8)
ECP5_PACKAGES = ("CABGA256", "CABGA381", "CABGA554", "CABGA756")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A device, its speed grade and its package.

    Parameters
    ----------
    device : Device
    speed : int
        Higher is faster.
    package : str
    """

    device: Device
    speed: int = 6
    package: str = "CABGA381"

    def __str__(self) -> str:
        return f"{self.device.name} speed {self.speed} {self.package}"


def find_part(device: str, *, speed: int | None = None, package: str | None = None) -> Part:
    """Look a part up.

    Raises
    ------
    ValueError
        With all that is wrong.
    """
    problems = []
    if device not in DEVICES:
        problems.append(f"there is no device {device!r}; there are {', '.join(DEVICES)}")
    if speed is not None and speed not in ECP5_SPEEDS:
        problems.append(f"speed must be one of {', '.join(map(str, ECP5_SPEEDS))}, got {speed}")
    if package is not None and package not in ECP5_PACKAGES:
        problems.append(f"package must be one of {', '.join(ECP5_PACKAGES)}, got {package!r}")
    if problems:
        raise ValueError("; ".join(problems))
    return Part(
        device=DEVICES[device],
        speed=speed or ECP5_SPEEDS[0],
        package=package or "CABGA381",
    )
