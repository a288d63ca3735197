"""The division of an average pool, as hls4ml's C++ does it."""

from dataclasses import dataclass, replace

import numpy as np
from hls4ml.model.types import RoundingMode

from systolith.hls4ml_backend.fixed_type import FixedType
from systolith.hls4ml_backend.form import Cast, Clip, Form, Step
from systolith.network import (
    MAX_MULTIPLIER_BITS,
    MAX_SHIFT,
    ActType,
    IntArray,
    Requantize,
    Rounding,
    requantize,
)

__all__ = ["Divide", "stand_in"]

MOST_SUMS = 1 << 24
"""So many sums are tried out."""


@dataclass(frozen=True, slots=True)
class Divide:
    """A sum in `accumulator` over `count`, towards zero, then a cast to `result`.

    Attributes
    ----------
    count : int
    accumulator, result : FixedType
        `accumulator` is no coarser than the sum.
    """

    count: int
    accumulator: FixedType
    result: FixedType

    def joined(self, form: Form) -> Form | None:
        """Find a multiplier and a shift that give every sum's quotient; None if there are none."""
        if not form.changes_nothing:
            return None
        cast, spare = Cast(self.result), self.accumulator.fraction - form.fraction
        if self.count & (self.count - 1) == 0 and self.count.bit_length() - 1 <= spare:
            bits = self.count.bit_length() - 1
            return cast.joined(replace(form, fraction=form.fraction + bits))
        found = self._search(form)
        return None if found is None else Cast(self.result).joined(found)

    def problem(self, form: Form) -> str | None:
        """Name what could be done."""
        if self.joined(form) is not None:
            return None
        advice = "put a ReLU before it" if form.low < 0 else "use a window of a power of two"
        return (
            f"divides sums {form.low}..{form.high} by {self.count} towards zero into "
            f"{self.result}, which no multiplier of {MAX_MULTIPLIER_BITS} bits does; {advice}, or "
            f"give accum at least {max(self.count - 1, 1).bit_length()} more fractional bits than "
            "the input, for a window of a power of two"
        )

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Compute it."""
        wide = values << (self.accumulator.fraction - fraction)
        quotient = np.where(wide < 0, -(-wide // self.count), wide // self.count)
        return self.result.cast(quotient, self.accumulator.fraction), self.result.fraction

    def _search(self, form: Form) -> Form | None:
        if form.high - form.low >= MOST_SUMS:
            return None
        target = min(self.result.fraction, self.accumulator.fraction)
        rounding = self.result.rounding_of(form.low)
        if target == self.accumulator.fraction:
            rounding = Rounding.FLOOR
        if rounding is None:
            return None
        endless = FixedType(width=62, fraction=target, signed=True, rounding=self.result.rounding)
        sums = np.arange(form.low, form.high + 1)
        wanted, _ = replace(self, result=endless).apply(sums, form.fraction)
        output = ActType(bits=16, signed=True)
        low, high = int(wanted.min()), int(wanted.max())
        if low < output.low or high > output.high:
            return None
        scale = 2.0 ** (target - form.fraction) / self.count
        for shift in range(MAX_SHIFT + 1):
            multiplier = int(np.ceil(np.ldexp(scale, shift)))
            if multiplier >= 1 << MAX_MULTIPLIER_BITS:
                return None
            spec = Requantize(
                multiplier=np.array([multiplier]), shift=np.array([shift]), rounding=rounding
            )
            if np.array_equal(requantize(sums[:, None], spec, output)[:, 0], wanted):
                return Form(
                    fraction=target,
                    low=low,
                    high=high,
                    multiplier=multiplier,
                    shift=shift,
                    rounding=rounding,
                    closed=True,
                )
        return None


def stand_in(step: Step) -> Step:
    """Find a step that is always possible, of the same type as one that is not."""
    match step:
        case Cast(type=kind) | Divide(result=kind):
            return Cast(replace(kind, rounding=RoundingMode.TRN))
        case _:
            return Clip()
