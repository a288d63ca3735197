"""Objectives of a search, and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from systolith.config import ObjectiveName
from systolith.tune.model import Estimate

__all__ = ["MAXIMIZED", "UNITS", "Values", "losses", "measure_violations"]

MAXIMIZED = frozenset({ObjectiveName.ACCURACY, ObjectiveName.FPS})
UNITS: Mapping[ObjectiveName, tuple[str, str]] = {
    ObjectiveName.ACCURACY: ("accuracy", "%"),
    ObjectiveName.FPS: ("frames per second", "frames/s"),
    ObjectiveName.LATENCY: ("latency", "us"),
    ObjectiveName.CYCLES: ("cycles per frame", ""),
    ObjectiveName.MULTIPLIERS: ("multipliers", ""),
    ObjectiveName.DSPS: ("DSP multipliers", ""),
    ObjectiveName.LUTS: ("LUTs", ""),
    ObjectiveName.BLOCK_RAMS: ("block RAMs", ""),
    ObjectiveName.MODEL_BITS: ("bits of the model", "bits"),
}
"""Label and unit; accuracy is a share, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The figures of a design.

    Attributes
    ----------
    accuracy : float
        0..1.
    fps, latency : float
        Frames per second; microseconds from the first input of a frame to its last output.
    cycles, multipliers, dsps, luts, block_rams, model_bits : int
    """

    accuracy: float
    fps: float
    latency: float
    cycles: int
    multipliers: int
    dsps: int
    luts: int
    block_rams: int
    model_bits: int

    @classmethod
    def of_estimate(cls, estimate: Estimate, accuracy: float) -> "Values":
        """Join an estimate of the hardware with the accuracy."""
        rate = estimate.clock_mhz * 1e6
        return cls(
            accuracy=accuracy,
            fps=rate / estimate.cycles,
            latency=1e6 * estimate.latency_cycles / rate,
            cycles=estimate.cycles,
            multipliers=estimate.resources.multipliers,
            dsps=estimate.resources.dsps,
            luts=estimate.resources.luts,
            block_rams=estimate.resources.block_rams,
            model_bits=estimate.model_bits,
        )

    def of(self, objective: ObjectiveName) -> float:
        """Return the figure of an objective."""
        return float(getattr(self, objective.value))


def losses(designs: Sequence[Values], objectives: Sequence[ObjectiveName]) -> NDArray[np.float64]:
    """Return objectives as numbers to minimize, shape (designs, objectives)."""
    table = np.array([[design.of(name) for name in objectives] for design in designs], dtype=float)
    signs = np.array([-1.0 if name in MAXIMIZED else 1.0 for name in objectives])
    signed: NDArray[np.float64] = table.reshape(len(designs), len(objectives)) * signs
    return signed


def measure_violations(values: Values, limits: Mapping[ObjectiveName, float]) -> dict[str, float]:
    """Return by what share each limit is exceeded; 0 or less if it is kept."""
    return {
        name.value: (limit - values.of(name)) / limit
        if name in MAXIMIZED
        else values.of(name) / limit - 1
        for name, limit in limits.items()
    }
