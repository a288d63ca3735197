"""Fixed-point types of hls4ml as integers times a power of two."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hls4ml.model.types import (
    FixedPrecisionType,
    IntegerPrecisionType,
    RoundingMode,
    SaturationMode,
)
from numpy.typing import NDArray

from systolith.network import IntArray, Rounding

__all__ = ["CONTRACT_ROUNDINGS", "FixedType", "fixed_type", "type_problem"]

CONTRACT_ROUNDINGS = {
    RoundingMode.TRN: Rounding.FLOOR,
    RoundingMode.RND: Rounding.HALF_UP,
    RoundingMode.RND_CONV: Rounding.HALF_EVEN,
}
"""Roundings of the network, by rounding of a type. Other types are refused if they round."""
NONNEGATIVE = {
    RoundingMode.TRN_ZERO: RoundingMode.TRN,
    RoundingMode.RND_INF: RoundingMode.RND,
}
"""Modes that are equal to another one for numbers that are not negative."""
OVERFLOWS = (SaturationMode.WRAP, SaturationMode.SAT, SaturationMode.SAT_SYM)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedType:
    """``ap_(u)fixed<width, width - fraction, rounding, overflow>``.

    Attributes
    ----------
    width : int
        Bits, the sign included.
    fraction : int
        Fractional bits: a value is an integer times ``2**-fraction``. May be negative, or greater
        than `width`.
    signed : bool
    rounding : RoundingMode
        Mode of hls4ml.
    overflow : SaturationMode
        Mode of hls4ml: WRAP, SAT or SAT_SYM.
    """

    width: int
    fraction: int
    signed: bool
    rounding: Any = RoundingMode.TRN
    overflow: Any = SaturationMode.WRAP

    @property
    def low(self) -> int:
        """Least integer that a cast to this type gives."""
        if not self.signed:
            return 0
        symmetric = self.overflow is SaturationMode.SAT_SYM
        return -(1 << (self.width - 1)) + int(symmetric)

    @property
    def high(self) -> int:
        """Greatest integer."""
        return (1 << (self.width - int(self.signed))) - 1

    @property
    def wraps(self) -> bool:
        """Whether values out of range wrap modulo ``2**width``."""
        return self.overflow is SaturationMode.WRAP

    def rounding_of(self, low: int) -> Rounding | None:
        """Find the network's rounding for values of at least `low`; None if there is none."""
        mode = NONNEGATIVE.get(self.rounding, self.rounding) if low >= 0 else self.rounding
        return CONTRACT_ROUNDINGS.get(mode)

    def cast(self, values: IntArray, fraction: int) -> IntArray:
        """Cast integers times ``2**-fraction``, exactly as C++ does.

        Parameters
        ----------
        values : array of int64
        fraction : int
            Fractional bits of `values`; the aligned values fit 62 bits.
        """
        shift = fraction - self.fraction
        if shift <= 0:
            return self.bound(values << -shift)
        kept, dropped = values >> shift, values & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        return self.bound(kept + self._rounds_up(values, kept, dropped, half))

    def quantize(self, values: NDArray[Any]) -> IntArray:
        """Convert floats as the constructor of an ap_fixed from a double does.

        Parameters
        ----------
        values : array of float32 or float64, finite

        Returns
        -------
        array of int64
            In units of ``2**-fraction``.
        """
        scaled = np.ldexp(np.asarray(values, dtype=np.float64), self.fraction)
        floor = np.floor(scaled)
        remainder = np.ldexp(scaled - floor, 2)
        # Two dropped bits, the half and whether anything is below it, decide every mode.
        dropped = np.where(remainder == 2, 2, np.where(remainder > 2, 3, remainder > 0))
        kept = np.fmod(floor, float(1 << 61)).astype(np.int64) if self.wraps else None
        if kept is None:
            limit = float(1 << 61)
            kept = np.clip(floor, -limit, limit).astype(np.int64)
        sign = np.where(scaled < 0, -1, 0)
        up = self._rounds_up(sign, kept, dropped.astype(np.int64), 2)
        return self.bound(kept + up)

    def bound(self, values: IntArray) -> IntArray:
        """Saturate or wrap integers, in units of this type, to its range."""
        if not self.wraps:
            return np.clip(values, self.low, self.high)
        return np.asarray(((values - self.low) & ((1 << self.width) - 1)) + self.low)

    def _rounds_up(
        self, values: IntArray, kept: IntArray, dropped: IntArray, half: int
    ) -> NDArray[np.bool_]:
        """Whether values round up, to `kept` plus 1."""
        negative, tie = values < 0, dropped == half
        match self.rounding:
            case RoundingMode.TRN:
                up = np.zeros_like(negative)
            case RoundingMode.TRN_ZERO:
                up = negative & (dropped > 0)
            case RoundingMode.RND:
                up = dropped >= half
            case RoundingMode.RND_ZERO:
                up = (dropped > half) | (tie & negative)
            case RoundingMode.RND_INF:
                up = (dropped > half) | (tie & ~negative)
            case RoundingMode.RND_MIN_INF:
                up = dropped > half
            case _:
                up = (dropped > half) | (tie & (kept % 2 == 1))
        return np.asarray(up)

    def __str__(self) -> str:
        name = "ap_fixed" if self.signed else "ap_ufixed"
        modes = f"AP_{self.rounding.name},AP_{self.overflow.name}"
        return f"{name}<{self.width},{self.width - self.fraction},{modes}>"


def type_problem(precision: Any) -> str | None:
    """Say why a precision of hls4ml is not supported; None if it is."""
    if not isinstance(precision, FixedPrecisionType | IntegerPrecisionType):
        return f"has the type {precision} ({type(precision).__name__}); use ap_fixed or ap_int"
    if precision.saturation_mode not in OVERFLOWS:
        return f"has the type {precision}; AP_SAT_ZERO is not supported, use AP_SAT"
    if precision.saturation_bits:
        return f"has the type {precision}; saturation bits must be 0"
    if precision.width < 1 + int(precision.signed):
        return f"has the type {precision}; signed types need at least 2 bits, others 1"
    return None


def fixed_type(precision: Any) -> FixedType:
    """Convert a precision of hls4ml, for which :func:`type_problem` gives None."""
    return FixedType(
        width=precision.width,
        fraction=precision.width - precision.integer,
        signed=bool(precision.signed),
        rounding=precision.rounding_mode,
        overflow=precision.saturation_mode,
    )
