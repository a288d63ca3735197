"""Estimate of a design's clock frequency before placement.

Wires limit the clock, and their length grows with the area over which a design is spread. A design
with half of the device's multipliers spans half of the device, even if it has few LUTs. Therefore
``fmax = base * extent ** -slope``, where the extent is the largest share of any resource, times the
LUTs of the device. ``benchmarks/physical/calibrate.py`` fits base and slope to placed designs and
writes them to ``clock.json`` beside this module.
"""

import json
from functools import cache
from importlib.resources import files

from systolith.devices.budget import Resources
from systolith.devices.device import DEVICES, Device, Family

__all__ = ["FITTED", "SPEED_FACTORS", "estimate_fmax_mhz", "extent_of"]

FITTED = "clock.json"
"""Base, in MHz, and slope; beside this module."""

SPEED_FACTORS = {6: 1.0, 7: 1.116, 8: 1.246}
"""Factors by speed grade of the ECP5. Grade 8 is measured (``benchmarks.physical.array``, 8x8,
medians of three seeds), grade 7 is interpolated."""

DIES = {"ecp5-12f": "ecp5-25f"}
"""Devices that are larger dies inside, with a part of the die sold."""


def estimate_fmax_mhz(taken: Resources, device: Device, *, speed: int = 6) -> float:
    """Estimate the clock frequency that place and route reach on an ECP5.

    Parameters
    ----------
    taken : Resources
        Resources of the design.
    device : Device
    speed : int
        Speed grade of the device.

    Returns
    -------
    float
        Frequency in MHz.

    Raises
    ------
    ValueError
        If the device is no ECP5, the grade does not exist, or the design takes no resources.
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
    base_mhz, slope = _read_fit()
    return float(base_mhz * extent**-slope * SPEED_FACTORS[speed])


def extent_of(taken: Resources, device: Device) -> float:
    """LUTs of the area over which a design is spread."""
    die = DEVICES[DIES.get(device.name, device.name)]
    shares = (
        taken.luts / die.luts,
        taken.flip_flops / die.ffs,
        taken.dsps / die.dsps if die.dsps else 0,
        taken.block_rams / die.block_rams,
    )
    return max(shares) * die.luts


@cache
def _read_fit() -> tuple[float, float]:
    fit = json.loads((files("systolith.plan.area") / FITTED).read_text())
    return fit["base_mhz"], fit["slope"]
