"""How fast the clock of a design will be, before it is placed.

What limits a clock are wires, and they are as long as a design is spread out: one that takes half
of the multipliers reaches over half of the device, however few its LUTs. So
``fmax = base * extent ** -slope``, where the extent is the largest share that it takes of anything,
times the LUTs of the device. Base and slope are fitted to placed designs, see
``benchmarks/physical/calibrate.py``, which writes them beside this module.
"""

import json
from functools import cache
from importlib.resources import files

from systolith.devices.budget import Resources
from systolith.devices.device import DEVICES, Device, Family

__all__ = ["FITTED", "SPEED_FACTORS", "estimate_fmax_mhz", "extent_of"]

FITTED = "clock.json"
"""Base, in MHz, and slope, in the folder of this module."""

SPEED_FACTORS = {6: 1.0, 7: 1.116, 8: 1.246}
"""By speed grade of the ECP5: 8 as measured (``benchmarks.physical.array``, 8x8, medians of three
seeds), 7 halfway."""

DIES = {"ecp5-12f": "ecp5-25f"}
"""Devices of which only a part is sold, and which they are inside."""


def estimate_fmax_mhz(taken: Resources, device: Device, *, speed: int = 6) -> float:
    """Estimate the clock that place and route reach on an ECP5.

    Parameters
    ----------
    taken : Resources
        By the design.
    device : Device
    speed : int
        Grade of the device.

    Returns
    -------
    float
        In MHz.

    Raises
    ------
    ValueError
        If the device is no ECP5, there is no such grade, or nothing is taken.
    """
    problems = []
    if device.family is not Family.ECP5:
        problems.append(f"the model is of ECP5 devices only, got {device.name}")
    if speed not in SPEED_FACTORS:
        grades = ", ".join(map(str, SPEED_FACTORS))
        problems.append(f"speed must be one of {grades}, got {speed}")
    if (extent := extent_of(taken, device)) == 0:
        problems.append("a design must take something of the device")
    if problems:
        raise ValueError("; ".join(problems))
    base_mhz, slope = _fitted()
    return float(base_mhz * extent**-slope * SPEED_FACTORS[speed])


def extent_of(taken: Resources, device: Device) -> float:
    """Count the LUTs of the part of the device over which a design is spread."""
    die = DEVICES[DIES.get(device.name, device.name)]
    shares = (
        taken.luts / die.luts,
        taken.flip_flops / die.ffs,
        taken.dsps / die.dsps if die.dsps else 0,
        taken.block_rams / die.block_rams,
    )
    return max(shares) * die.luts


@cache
def _fitted() -> tuple[float, float]:
    found = json.loads((files("systolith.plan.area") / FITTED).read_text())
    return found["base_mhz"], found["slope"]
