"""Quantizers of float graphs, and what integers they give."""

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from systolith.network import ActType, IntArray, Rounding

__all__ = ["HALF_TO_PLUS_INFINITY", "OF_POSITIVE", "ROUNDINGS", "FloatArray", "Quantizer"]

FloatArray = NDArray[np.float64]

HALF_TO_PLUS_INFINITY = "half to plus infinity"
"""Made by a quantizer that drops fractions, of values that are half a unit more."""

ROUNDINGS = {
    HALF_TO_PLUS_INFINITY: Rounding.HALF_UP,
    "ROUND": Rounding.HALF_EVEN,
    "HALF_EVEN": Rounding.HALF_EVEN,
    "FLOOR": Rounding.FLOOR,
}
OF_POSITIVE = {"HALF_UP": Rounding.HALF_UP, "DOWN": Rounding.FLOOR}
"""These round by magnitude, so they are the contract's only where nothing is negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """From real values to integers of a type: ``clip(round(x / scale) + zero_point)``.

    Attributes
    ----------
    scale : float
    type : ActType
    rounding : str
        As QONNX calls it; ONNX's own quantizers round ties to even.
    narrow : bool
        Without the least value of a signed type, or the greatest of an unsigned one.
    after_zero_point : bool
        Whether the zero point is added before it is rounded, as QONNX does; ONNX adds it after.
    bounds : pair of int
        What the integers are cut to afterwards, besides their type.
    """

    scale: float
    type: ActType
    rounding: str = "ROUND"
    narrow: bool = False
    after_zero_point: bool = False
    bounds: tuple[float, float] = (-inf, inf)

    @property
    def low(self) -> int:
        """Least integer."""
        return int(max(self.type.low + (self.narrow and self.type.signed), self.bounds[0]))

    @property
    def high(self) -> int:
        """Greatest integer."""
        return int(min(self.type.high - (self.narrow and not self.type.signed), self.bounds[1]))

    def of(self, real: FloatArray, rounding: Rounding = Rounding.HALF_EVEN) -> IntArray:
        """Quantize real values."""
        with np.errstate(over="ignore"):
            ratio = np.clip(np.asarray(real, dtype=np.float64) / self.scale, -(2.0**31), 2.0**31)
        match rounding:
            case Rounding.HALF_EVEN:
                rounded = np.rint(ratio)
            case Rounding.HALF_UP:
                rounded = np.floor(ratio + 0.5)
            case Rounding.FLOOR:
                rounded = np.floor(ratio)
        integers = rounded.astype(np.int64) + self.type.zero_point
        return np.asarray(np.clip(integers, self.low, self.high))

    def within(self, low: float, high: float) -> "Quantizer":
        """Use a narrower type, where the bounds of real values are just its range."""
        first, last = (int(each) for each in self.of(np.array([low, high])))
        for bits in range(2 if self.type.signed else 1, self.type.bits):
            if first <= self.type.zero_point <= last:
                narrower = replace(self.type, bits=bits, zero_point=0)
                if (narrower.low, narrower.high) == (first, last):
                    return replace(self, type=replace(self.type, bits=bits))
        return self

    def mode(self, *, positive: bool) -> Rounding | None:
        """The contract's rounding that does the same; None if none does.

        Parameters
        ----------
        positive : bool
            Whether nothing that is rounded is less than 0.
        """
        if positive and self.rounding in OF_POSITIVE:
            return OF_POSITIVE[self.rounding]
        return ROUNDINGS.get(self.rounding)
