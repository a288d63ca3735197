"""Fixed-point types against fractions, and chains of casts against single requantizations."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hls4ml.model.types import (
    ExponentPrecisionType,
    FixedPrecisionType,
    IntegerPrecisionType,
    RoundingMode,
    SaturationMode,
    XnorPrecisionType,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.hls4ml_backend.fixed_type import FixedType, fixed_type, type_problem
from systolith.hls4ml_backend.form import Cast, Clip, Divide, ElementwiseStep, Form, Slope
from systolith.network import requantize

OVERFLOWS = (SaturationMode.WRAP, SaturationMode.SAT, SaturationMode.SAT_SYM)


def reference(value: Fraction, kind: FixedType) -> int:
    """What the standard of ap_fixed says, in units of the type."""
    exact = value * Fraction(2) ** kind.fraction
    below, above = floor(exact), ceil(exact)
    near = below if exact - below < Fraction(1, 2) else above
    tie = exact - below == Fraction(1, 2)
    zero, away = (below, above) if exact >= 0 else (above, below)
    rounded = {
        RoundingMode.TRN: below,
        RoundingMode.TRN_ZERO: zero,
        RoundingMode.RND: above if tie else near,
        RoundingMode.RND_ZERO: zero if tie else near,
        RoundingMode.RND_INF: away if tie else near,
        RoundingMode.RND_MIN_INF: below if tie else near,
        RoundingMode.RND_CONV: (below if below % 2 == 0 else above) if tie else near,
    }[kind.rounding]
    sign = int(kind.signed)
    low, high = -sign << (kind.width - 1), (1 << (kind.width - sign)) - 1
    if kind.overflow is SaturationMode.WRAP:
        return (rounded - low) % (1 << kind.width) + low
    symmetric = int(kind.signed and kind.overflow is SaturationMode.SAT_SYM)
    return min(max(rounded, low + symmetric), high)


@st.composite
def types(draw: st.DrawFn, roundings: tuple[RoundingMode, ...] = tuple(RoundingMode)) -> FixedType:
    signed = draw(st.booleans())
    return FixedType(
        width=draw(st.integers(2 if signed else 1, 12)),
        fraction=draw(st.integers(-3, 12)),
        signed=signed,
        rounding=draw(st.sampled_from(roundings)),
        overflow=draw(st.sampled_from(OVERFLOWS)),
    )


@given(types(), st.integers(-(1 << 20), 1 << 20), st.integers(-4, 16))
def test_cast_equals_fractions(kind: FixedType, value: int, fraction: int) -> None:
    expected = reference(Fraction(value) / Fraction(2) ** fraction, kind)
    assert kind.cast(np.array([value]), fraction).tolist() == [expected]


@given(types(), st.floats(-1e6, 1e6, width=32))
def test_floats_are_converted_as_fractions_are(kind: FixedType, value: float) -> None:
    assert kind.quantize(np.array([value])).tolist() == [reference(Fraction(value), kind)]


EXACT = (RoundingMode.TRN, RoundingMode.RND, RoundingMode.RND_CONV)
SLOPES = st.builds(Slope, st.tuples(st.integers(-9, 9)), st.integers(0, 3))
STEPS = st.lists(
    st.one_of(types(EXACT).map(Cast), st.just(Clip(low=0)), SLOPES), min_size=1, max_size=4
)


@settings(deadline=None)
@given(STEPS, st.integers(-600, 0), st.integers(0, 600), st.integers(-2, 10))
def test_what_is_joined_computes_the_same(
    steps: list[ElementwiseStep], low: int, high: int, fraction: int
) -> None:
    form = Form(fraction=fraction, low=low, high=high)
    values = np.arange(low, high + 1)[:, None]
    expected, unit = values, fraction
    for step in steps:
        joined = step.append_to(form)
        if joined is None:
            break
        form = joined
        expected, unit = step.apply(expected, unit)
    if form.type is None:
        return
    got = requantize(values, form.requantize(form.type), form.type)[:, 0]
    scale = Fraction(2) ** (unit - form.fraction)
    assert [scale * int(value) for value in got] == [int(value) for value in expected[:, 0]]
    assert form.low <= got.min() and got.max() <= form.high


@settings(deadline=None)
@given(types(EXACT), st.integers(2, 50), st.integers(0, 3), st.integers(0, 800))
def test_divisions_that_are_joined_compute_the_same(
    kind: FixedType, count: int, spare: int, high: int
) -> None:
    accumulator = FixedType(width=30, fraction=4 + spare, signed=True)
    step, form = Divide(count, accumulator, kind), Form(fraction=4, low=0, high=high)
    joined = step.append_to(form)
    if joined is None or joined.type is None:
        return
    sums = np.arange(high + 1)
    expected, unit = step.apply(sums, 4)
    got = requantize(sums[:, None], joined.requantize(joined.type), joined.type)[:, 0]
    scale = Fraction(2) ** (unit - joined.fraction)
    assert [scale * int(value) for value in got] == [int(value) for value in expected]


def test_a_relu_does_not_hide_that_a_cast_after_it_wraps() -> None:
    form = Form(fraction=0, low=-300, high=300)
    rectified = Clip(low=0).append_to(form)
    assert rectified is not None
    assert Cast(FixedType(width=8, fraction=0, signed=True)).append_to(rectified) is None


def test_two_roundings_to_nearest_are_not_one() -> None:
    once = Cast(FixedType(width=8, fraction=1, signed=True, rounding=RoundingMode.RND))
    form = once.append_to(Form(fraction=3, low=-8, high=7))
    assert form is not None
    twice = Cast(FixedType(width=8, fraction=0, signed=True, rounding=RoundingMode.RND))
    assert twice.append_to(form) is None


def test_types_are_read() -> None:
    kind = fixed_type(FixedPrecisionType(6, 2, False, RoundingMode.RND, SaturationMode.SAT))
    assert (kind.width, kind.fraction, kind.signed, kind.low, kind.high) == (6, 4, False, 0, 63)
    whole = fixed_type(IntegerPrecisionType(5, True))
    assert (whole.fraction, whole.low, whole.high) == (0, -16, 15)


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        (XnorPrecisionType(), "XnorPrecisionType"),
        (ExponentPrecisionType(4), "ExponentPrecisionType"),
        (FixedPrecisionType(8, 3, True, "TRN", "SAT_ZERO"), "AP_SAT_ZERO"),
        (FixedPrecisionType(8, 3, True, "TRN", "WRAP", 2), "saturation bits"),
        (FixedPrecisionType(1, 1, True), "at least 2 bits"),
    ],
)
def test_types_without_counterpart_are_refused(precision: object, message: str) -> None:
    problem = type_problem(precision)
    assert problem is not None and message in problem
