"""How fast the clock of a design will be, before it is placed.

What limits a clock are wires, which are longer the larger the design:
``fmax = base * LUTs ** -slope``. Base and slope are fitted to placed designs, see
``benchmarks/physical/calibrate.py``, which writes them beside this module.
"""

import json
from functools import cache
from importlib.resources import files

__all__ = ["FITTED", "SPEED_FACTORS", "fmax_of"]

FITTED = "clock.json"
"""Base, in MHz, and slope, in the folder of this module."""

SPEED_FACTORS = {6: 1.0, 7: 1.116, 8: 1.246}
"""By speed grade of the ECP5: 8 as measured (``benchmarks.physical.array``, 8x8, medians of three
seeds), 7 halfway."""


def fmax_of(luts: int, *, speed: int = 6) -> float:
    """Estimate the clock that place and route reach on an ECP5.

    Parameters
    ----------
    luts : int
        Of the design.
    speed : int
        Grade of the device.

    Returns
    -------
    float
        In MHz.

    Raises
    ------
    ValueError
        If there are no LUTs, or there is no such grade.
    """
    if luts < 1:
        raise ValueError(f"a design needs at least one LUT, got {luts}")
    if speed not in SPEED_FACTORS:
        grades = ", ".join(map(str, SPEED_FACTORS))
        raise ValueError(f"speed must be one of {grades}, got {speed}")
    base_mhz, slope = _fitted()
    return float(base_mhz * luts**-slope * SPEED_FACTORS[speed])


@cache
def _fitted() -> tuple[float, float]:
    found = json.loads((files("systolith.plan") / FITTED).read_text())
    return found["base_mhz"], found["slope"]
