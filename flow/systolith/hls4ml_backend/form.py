"""Chains of casts, clips and divisions as one requantization, where that is exact."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from hls4ml.model.types import RoundingMode

from systolith.hls4ml_backend.fixed_type import FixedType
from systolith.network import (
    FITTED_MULTIPLIER_BITS,
    FITTED_SHIFT,
    MAX_ACT_BITS,
    ActType,
    IntArray,
    Overflow,
    Requantize,
    Rounding,
    requantize,
    signed_bits,
)

__all__ = [
    "Cast",
    "Clip",
    "Divide",
    "ElementwiseStep",
    "Form",
    "Slope",
    "act_type",
    "choose_substitute",
    "refine",
]

UNBOUNDED = 1 << 61
"""Bound that no sum reaches."""
COMPOSED = {
    (Rounding.FLOOR, Rounding.FLOOR): Rounding.FLOOR,
    (Rounding.FLOOR, Rounding.HALF_UP): Rounding.HALF_UP,
}
"""Pairs of consecutive roundings that are equal to one rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A requantization (:class:`systolith.network.Requantize`) and the range of its result.

    ``clip(overflow(round(x * multiplier >> shift)), low, high)`` in units of ``2**-fraction``.

    Attributes
    ----------
    fraction : int
        Fractional bits of the result.
    low, high : int
        Bounds of the result.
    multiplier, shift : int
    negative : tuple of int or None
        Multipliers of values below 0, one for each channel or one for all; None for `multiplier`.
    rounding : Rounding or None
        None without rounding.
    wrap : FixedType or None
        Type whose width values wrap at; None if they saturate.
    clipped : bool
        Whether a bound changed a value.
    closed : bool
        Whether no further rounding can be appended.
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
    negative: tuple[int, ...] | None = None

    @property
    def changes_nothing(self) -> bool:
        """Whether the result equals the input."""
        scales = self.shift or self.multiplier != 1 or self.negative is not None
        return not (scales or self.clipped or self.wrap)

    @property
    def type(self) -> ActType | None:
        """Narrowest type of the result; None if it is wider than activations can be."""
        if self.wrap is not None:
            bits, signed = self.wrap.width, self.wrap.signed
            return ActType(bits=bits, signed=signed) if bits <= MAX_ACT_BITS else None
        return act_type(self.low, self.high)

    def requantize(self, output: ActType) -> Requantize:
        """Make the network's requantization to a type that holds the result."""
        whole = (self.low, self.high) == (output.low, output.high)
        return Requantize(
            multiplier=np.array([self.multiplier]),
            shift=np.array([self.shift]),
            rounding=self.rounding or Rounding.HALF_UP,
            overflow=Overflow.SATURATE if self.wrap is None else Overflow.WRAP,
            clamp=None if whole else (self.low, self.high),
            negative=None if self.negative is None else np.array(self.negative),
        )

    def clip(self, low: int, high: int) -> "Form":
        """Bound the result."""
        bounds = [min(max(bound, low), high) for bound in (self.low, self.high)]
        changed = bounds != [self.low, self.high]
        return replace(self, low=bounds[0], high=bounds[1], clipped=self.clipped or changed)


def act_type(low: int, high: int) -> ActType | None:
    """Find the narrowest type that holds `low` and `high`; None if there is none."""
    signed = low < 0
    bits = max(signed_bits(low, high), 2) if signed else max(high.bit_length(), 1)
    return ActType(bits=bits, signed=signed) if bits <= MAX_ACT_BITS else None


class ElementwiseStep(Protocol):
    """An operation on each value."""

    def append_to(self, form: Form) -> Form | None:
        """Append the step to a form; None if the two are not one requantization."""

    def problem(self, form: Form) -> str | None:
        """Say why the step is impossible for the values of a form; None if it is possible."""

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Apply the step to integers; return integers and their fractional bits."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Clipping to real bounds; ReLU has 0 and None.

    Attributes
    ----------
    low, high : int or None
        None for no bound.
    """

    low: int | None = None
    high: int | None = None

    def append_to(self, form: Form) -> Form | None:
        """Clip the form, which is always possible, as the clamp comes after overflow."""
        return form.clip(*self._bounds(form.fraction))

    def problem(self, form: Form) -> str | None:
        """Refuse bounds other than 0 if the fraction is negative."""
        if form.fraction < 0 and any(bound for bound in (self.low, self.high)):
            return f"bounds {self.low}, {self.high} are no values of its input's type"
        return None

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Apply the step to integers; return integers and their fractional bits."""
        return np.clip(values, *self._bounds(fraction)), fraction

    def _bounds(self, fraction: int) -> tuple[int, int]:
        unit = 1 << max(fraction, 0)
        low = -UNBOUNDED if self.low is None else self.low * unit
        return low, UNBOUNDED if self.high is None else self.high * unit


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast to a fixed-point type."""

    type: FixedType

    def append_to(self, form: Form) -> Form | None:
        """Append rounding and overflow; None if a wrap or another rounding prevents it."""
        shift = form.fraction - self.type.fraction
        rounded: Form | None = form
        if shift > 0:
            rounded = self._round(form, shift)
        elif shift < 0 and self._overflows(form):
            rounded = refine(form, -shift)
        return None if rounded is None else self._bound(rounded)

    def problem(self, form: Form) -> str | None:
        """Refuse a rounding that the network does not have, if values are rounded."""
        if form.fraction <= self.type.fraction or self.type.rounding_of(form.low):
            return None
        return (
            f"rounds to {self.type}, and AP_{self.type.rounding.name} is not supported; use "
            "AP_TRN or AP_RND"
        )

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Apply the step to integers; return integers and their fractional bits."""
        return self.type.cast(values, fraction), self.type.fraction

    def _round(self, form: Form, shift: int) -> Form | None:
        rounding = self.type.rounding_of(form.low)
        multiplies = form.multiplier != 1 and form.negative is None
        if rounding is None or form.wrap is not None or form.closed or multiplies:
            return None
        if form.rounding is not None:
            rounding = COMPOSED.get((form.rounding, rounding))
        if rounding is None or form.shift + shift > FITTED_SHIFT:
            return None
        unbounded = FixedType(
            width=62, fraction=self.type.fraction, signed=True, rounding=self.type.rounding
        )
        low, high = unbounded.cast(np.array([form.low, form.high]), form.fraction).tolist()
        return replace(
            form,
            fraction=self.type.fraction,
            low=low,
            high=high,
            shift=form.shift + shift,
            rounding=rounding,
        )

    def _overflows(self, form: Form) -> bool:
        """Whether a value of a coarser form is outside the type."""
        shift = self.type.fraction - form.fraction
        return form.low << shift < self.type.low or form.high << shift > self.type.high

    def _bound(self, form: Form) -> Form | None:
        coarser = self.type.fraction > form.fraction
        if coarser or (self.type.low <= form.low and form.high <= self.type.high):
            return form
        if not self.type.wraps:
            return form.clip(self.type.low, self.type.high)
        if form.clipped or form.wrap is not None:
            return None
        return replace(form, wrap=self.type, low=self.type.low, high=self.type.high)


def refine(form: Form, shift: int) -> Form | None:
    """Give a form `shift` more fractional bits; None if it rounds or wraps.

    Smaller units express bounds between two old ones.
    """
    slopes = form.negative or ()
    most = max(map(abs, (form.multiplier, *slopes))) << shift
    if form.shift or form.wrap is not None or most >= 1 << FITTED_MULTIPLIER_BITS:
        return None
    return replace(
        form,
        fraction=form.fraction + shift,
        low=form.low << shift,
        high=form.high << shift,
        multiplier=form.multiplier << shift,
        negative=tuple(slope << shift for slope in slopes) or None,
    )


@dataclass(frozen=True, slots=True)
class Slope:
    """Multiplication of values below 0: a LeakyReLU, or a PReLU with a slope for each channel.

    Attributes
    ----------
    factors : tuple of int
        One for each channel, or one for all, in units of ``2**-factor_fraction``.
    factor_fraction : int
        At least 0.
    """

    factors: tuple[int, ...]
    factor_fraction: int

    def append_to(self, form: Form) -> Form | None:
        """Give the exact products; None if the form changes the sums, or factors are too wide."""
        unit = 1 << self.factor_fraction
        most = max(unit, *map(abs, self.factors), 0)
        if not form.changes_nothing or most >= 1 << FITTED_MULTIPLIER_BITS:
            return None
        least = min(form.low, 0)
        ends = [max(bound, 0) * unit for bound in (form.low, form.high)]
        ends += [factor * least for factor in self.factors]
        return Form(
            fraction=form.fraction + self.factor_fraction,
            low=min(ends),
            high=max(ends),
            multiplier=unit,
            negative=self.factors,
        )

    def problem(self, form: Form) -> str | None:
        """Refuse factors wider than the multipliers of requantizers."""
        most = max(1 << self.factor_fraction, *map(abs, self.factors))
        if most < 1 << FITTED_MULTIPLIER_BITS:
            return None
        return (
            f"its slopes need {most.bit_length()} bits; set Precision.param to a type of at most "
            f"{FITTED_MULTIPLIER_BITS - 1} fractional bits"
        )

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Apply the step to integers; return integers and their fractional bits."""
        channels = (1, -1) + (1,) * (values.ndim - 2)
        factors = np.array(self.factors).reshape(channels)
        scaled = np.where(values < 0, values * factors, values << self.factor_fraction)
        return scaled, fraction + self.factor_fraction


MAX_SUMS = 1 << 24
"""Divisions of more sums than this are not searched."""


@dataclass(frozen=True, slots=True)
class Divide:
    """Division of a sum in `accumulator` by `count`, towards zero, then a cast to `result`.

    Attributes
    ----------
    count : int
    accumulator, result : FixedType
        `accumulator` has at least the fractional bits of the sum.
    """

    count: int
    accumulator: FixedType
    result: FixedType

    def append_to(self, form: Form) -> Form | None:
        """Find a multiplier and a shift with the quotient of every sum; None if there are none."""
        if not form.changes_nothing:
            return None
        cast, spare = Cast(self.result), self.accumulator.fraction - form.fraction
        if self.count & (self.count - 1) == 0 and self.count.bit_length() - 1 <= spare:
            bits = self.count.bit_length() - 1
            return cast.append_to(replace(form, fraction=form.fraction + bits))
        quotient = self._search(form)
        return None if quotient is None else Cast(self.result).append_to(quotient)

    def problem(self, form: Form) -> str | None:
        """Say why no multiplier divides the sums, and what to change."""
        if self.append_to(form) is not None:
            return None
        advice = "put a ReLU before it" if form.low < 0 else "use a window of a power of two"
        return (
            f"divides sums {form.low}..{form.high} by {self.count} towards zero into "
            f"{self.result}, which no multiplier of {FITTED_MULTIPLIER_BITS} bits does; "
            f"{advice}, or give accum at least {max(self.count - 1, 1).bit_length()} more "
            "fractional bits than the input, for a window of a power of two"
        )

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Apply the step to integers; return integers and their fractional bits."""
        wide = values << (self.accumulator.fraction - fraction)
        quotient = np.where(wide < 0, -(-wide // self.count), wide // self.count)
        return self.result.cast(quotient, self.accumulator.fraction), self.result.fraction

    def _search(self, form: Form) -> Form | None:
        if form.high - form.low >= MAX_SUMS:
            return None
        target = min(self.result.fraction, self.accumulator.fraction)
        rounding = self.result.rounding_of(form.low)
        if target == self.accumulator.fraction:
            rounding = Rounding.FLOOR
        if rounding is None:
            return None
        unbounded = FixedType(width=62, fraction=target, signed=True, rounding=self.result.rounding)
        sums = np.arange(form.low, form.high + 1)
        wanted, _ = replace(self, result=unbounded).apply(sums, form.fraction)
        output = ActType(bits=16, signed=True)
        low, high = int(wanted.min()), int(wanted.max())
        if low < output.low or high > output.high:
            return None
        scale = 2.0 ** (target - form.fraction) / self.count
        for shift in range(FITTED_SHIFT + 1):
            multiplier = int(np.ceil(np.ldexp(scale, shift)))
            if multiplier >= 1 << FITTED_MULTIPLIER_BITS:
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
    """Choose a step with the same result type that is always possible."""
    match step:
        case Cast(type=kind) | Divide(result=kind):
            return Cast(replace(kind, rounding=RoundingMode.TRN))
        case _:
            return Clip()
