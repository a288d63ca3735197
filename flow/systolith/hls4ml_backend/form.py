"""Chains of casts, clips and divisions as one requantization, where that is exact."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from hls4ml.model.types import RoundingMode

from systolith.hls4ml_backend.fixed_type import FixedType
from systolith.network import (
    MAX_MULTIPLIER_BITS,
    MAX_SHIFT,
    ActType,
    IntArray,
    Overflow,
    Requantize,
    Rounding,
    requantize,
    signed_bits,
)

__all__ = [
    "MAX_ACT_BITS",
    "Cast",
    "Clip",
    "Divide",
    "ElementwiseStep",
    "Form",
    "act_type",
    "choose_substitute",
]

MAX_ACT_BITS = 16
ENDLESS = 1 << 61
"""Beyond all sums."""
COMPOSED = {
    (Rounding.FLOOR, Rounding.FLOOR): Rounding.FLOOR,
    (Rounding.FLOOR, Rounding.HALF_UP): Rounding.HALF_UP,
}
"""Two roundings, one after the other, that are one: integers pass through a floor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What :class:`systolith.network.Requantize` computes, and the values that may come of it.

    ``clip(overflow(round(x * multiplier >> shift)), low, high)`` in units of ``2**-fraction``.

    Attributes
    ----------
    fraction : int
        Of the result.
    low, high : int
        Bounds of the result.
    multiplier, shift : int
    rounding : Rounding or None
        None as long as nothing was rounded.
    wrap : FixedType or None
        What values are taken modulo; None if they saturate.
    clipped : bool
        Whether a bound ever changed a value.
    closed : bool
        Whether no more rounding can be joined to it.
    """

    fraction: int
    low: int
    high: int
    multiplier: int = 1
    shift: int = 0
    rounding: Rounding | None = None
    wrap: FixedType | None = None
    clipped: bool = False
    closed: bool = False

    @property
    def changes_nothing(self) -> bool:
        """Whether the result is what goes in."""
        scales = self.shift or self.multiplier != 1
        return not (scales or self.clipped or self.wrap)

    @property
    def type(self) -> ActType | None:
        """Smallest type for the result; None if activations cannot be that wide."""
        if self.wrap is not None:
            bits, signed = self.wrap.width, self.wrap.signed
            return ActType(bits=bits, signed=signed) if bits <= MAX_ACT_BITS else None
        return act_type(self.low, self.high)

    def requantize(self) -> Requantize:
        """The same for the contract; there must be a :attr:`type`."""
        output = self.type
        assert output is not None
        whole = (self.low, self.high) == (output.low, output.high)
        return Requantize(
            multiplier=np.array([self.multiplier]),
            shift=np.array([self.shift]),
            rounding=self.rounding or Rounding.HALF_UP,
            overflow=Overflow.SATURATE if self.wrap is None else Overflow.WRAP,
            clamp=None if whole else (self.low, self.high),
        )

    def clip(self, low: int, high: int) -> "Form":
        """Bound the result."""
        bounds = [min(max(bound, low), high) for bound in (self.low, self.high)]
        changed = bounds != [self.low, self.high]
        return replace(self, low=bounds[0], high=bounds[1], clipped=self.clipped or changed)


def act_type(low: int, high: int) -> ActType | None:
    """Find the smallest type that holds `low` and `high`; None if there is none."""
    signed = low < 0
    bits = max(signed_bits(low, high), 2) if signed else max(high.bit_length(), 1)
    return ActType(bits=bits, signed=signed) if bits <= MAX_ACT_BITS else None


class ElementwiseStep(Protocol):
    """Something done to each value by itself."""

    def joined(self, form: Form) -> Form | None:
        """Append to a form; None if both together are no requantization."""

    def problem(self, form: Form) -> str | None:
        """Say why it can follow no form with these values at all; None if it can."""

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Compute it: integers and their fraction."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Bounds in units of one: ReLU has 0 and None.

    Attributes
    ----------
    low, high : int or None
        None is no bound.
    """

    low: int | None = None
    high: int | None = None

    def joined(self, form: Form) -> Form | None:
        """Bound the form, which is always possible: a clamp comes after overflow."""
        return form.clip(*self._bounds(form.fraction))

    def problem(self, form: Form) -> str | None:
        """None: bounds are whole numbers, unless the fraction is negative."""
        if form.fraction < 0 and any(bound for bound in (self.low, self.high)):
            return f"bounds {self.low}, {self.high} are no values of its input's type"
        return None

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Compute it."""
        return np.clip(values, *self._bounds(fraction)), fraction

    def _bounds(self, fraction: int) -> tuple[int, int]:
        unit = 1 << max(fraction, 0)
        low = -ENDLESS if self.low is None else self.low * unit
        return low, ENDLESS if self.high is None else self.high * unit


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast to a fixed-point type."""

    type: FixedType

    def joined(self, form: Form) -> Form | None:
        """Round, then overflow; None if a wrap or another rounding is in the way."""
        shift = form.fraction - self.type.fraction
        rounded: Form | None = form
        if shift > 0:
            rounded = self._rounded(form, shift)
        elif shift < 0 and self._overflows(form):
            rounded = _refined(form, -shift)
        return None if rounded is None else self._bounded(rounded)

    def problem(self, form: Form) -> str | None:
        """Name a rounding that the contract does not have, where something is rounded."""
        if form.fraction <= self.type.fraction or self.type.rounding_of(form.low):
            return None
        return (
            f"rounds to {self.type}, and AP_{self.type.rounding.name} is not supported; use "
            "AP_TRN or AP_RND"
        )

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Compute it."""
        return self.type.cast(values, fraction), self.type.fraction

    def _rounded(self, form: Form, shift: int) -> Form | None:
        rounding = self.type.rounding_of(form.low)
        if rounding is None or form.wrap is not None or form.closed or form.multiplier != 1:
            return None
        if form.rounding is not None:
            rounding = COMPOSED.get((form.rounding, rounding))
        if rounding is None or form.shift + shift > MAX_SHIFT:
            return None
        endless = FixedType(
            width=62, fraction=self.type.fraction, signed=True, rounding=self.type.rounding
        )
        low, high = endless.cast(np.array([form.low, form.high]), form.fraction).tolist()
        return replace(
            form,
            fraction=self.type.fraction,
            low=low,
            high=high,
            shift=form.shift + shift,
            rounding=rounding,
        )

    def _overflows(self, form: Form) -> bool:
        """Whether a value of a coarser form lies outside the type."""
        shift = self.type.fraction - form.fraction
        return form.low << shift < self.type.low or form.high << shift > self.type.high

    def _bounded(self, form: Form) -> Form | None:
        coarser = self.type.fraction > form.fraction
        if coarser or (self.type.low <= form.low and form.high <= self.type.high):
            return form
        if not self.type.wraps:
            return form.clip(self.type.low, self.type.high)
        if form.clipped or form.wrap is not None:
            return None
        return replace(form, wrap=self.type, low=self.type.low, high=self.type.high)


def _refined(form: Form, shift: int) -> Form | None:
    """Take smaller units, where bounds between the old ones matter."""
    if form.shift or form.wrap is not None or form.multiplier << shift >= 1 << MAX_MULTIPLIER_BITS:
        return None
    return replace(
        form,
        fraction=form.fraction + shift,
        low=form.low << shift,
        high=form.high << shift,
        multiplier=form.multiplier << shift,
    )


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


def choose_substitute(step: ElementwiseStep) -> ElementwiseStep:
    """Find a step that is always possible, of the same type as one that is not."""
    match step:
        case Cast(type=kind) | Divide(result=kind):
            return Cast(replace(kind, rounding=RoundingMode.TRN))
        case _:
            return Clip()
