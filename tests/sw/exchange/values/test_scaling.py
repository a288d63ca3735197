"""Real scales as multipliers and shifts: how near they come, and what is met exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.exchange.values.scaling import IntegerScale, fit_scale
from systolith.network import FITTED_MULTIPLIER_BITS, FITTED_SHIFT

LARGEST = (1 << FITTED_MULTIPLIER_BITS) - 1
RELAXED = settings(deadline=None, max_examples=60)
"""Machines differ in speed by more than any deadline."""

SCALES = st.one_of(
    st.floats(0, LARGEST),
    st.floats(0, 2.0**-FITTED_SHIFT),
    st.builds(lambda mantissa, by: mantissa * 2.0**-by, st.floats(0.5, 1), st.integers(-15, 60)),
)


def _met(found: IntegerScale, count: int) -> list[Fraction]:
    """What the integers stand for, by channel."""
    shifts = np.broadcast_to(found.shift, count).tolist()
    return [
        Fraction(multiplier, 1 << shift)
        for multiplier, shift in zip(found.multiplier.tolist(), shifts, strict=True)
    ]


@RELAXED
@given(st.lists(SCALES, min_size=1, max_size=5))
def test_error_is_what_it_says_and_within_its_bound(scales: list[float]) -> None:
    found = fit_scale(scales)
    for scale, met, error in zip(scales, _met(found, len(scales)), found.error, strict=True):
        off = abs(Fraction(scale) - met)
        assert off == Fraction(float(error))
        assert off <= max(Fraction(scale) / (1 << FITTED_MULTIPLIER_BITS), Fraction(1, 1 << 48))
    assert found.exact == all(error == 0 for error in found.error)


@RELAXED
@given(st.lists(SCALES, min_size=1, max_size=5))
def test_multipliers_and_shifts_are_those_of_the_contract(scales: list[float]) -> None:
    found = fit_scale(scales)
    assert found.multiplier.shape == (len(scales),)
    assert found.shift.shape in ((1,), (len(scales),))
    assert found.multiplier.dtype == found.shift.dtype == np.int64
    assert 0 <= found.multiplier.min() and found.multiplier.max() <= LARGEST
    assert 0 <= found.shift.min() and found.shift.max() <= FITTED_SHIFT


@RELAXED
@given(
    st.lists(
        st.tuples(st.integers(0, LARGEST), st.integers(0, FITTED_SHIFT)), min_size=1, max_size=5
    )
)
def test_what_has_at_most_sixteen_significant_bits_is_met(pairs: list[tuple[int, int]]) -> None:
    wanted = [Fraction(multiplier, 1 << shift) for multiplier, shift in pairs]
    found = fit_scale([float(each) for each in wanted])
    assert found.exact
    assert _met(found, len(wanted)) == wanted


@RELAXED
@given(st.integers(-FITTED_SHIFT, FITTED_MULTIPLIER_BITS - 1))
def test_powers_of_two_need_no_multiplication_that_a_shift_can_do(exponent: int) -> None:
    found = fit_scale([2.0**exponent])
    assert found.exact
    assert (found.multiplier.tolist(), found.shift.tolist()) == (
        ([1], [-exponent]) if exponent <= 0 else ([1 << exponent], [0])
    )


@RELAXED
@given(st.lists(SCALES, min_size=1, max_size=5))
def test_channels_do_not_change_each_other(scales: list[float]) -> None:
    alone = [_met(fit_scale([scale]), 1)[0] for scale in scales]
    assert _met(fit_scale(scales), len(scales)) == alone


@RELAXED
@given(st.lists(SCALES, min_size=2, max_size=5))
def test_one_shift_serves_all_channels_where_that_loses_nothing(scales: list[float]) -> None:
    found = fit_scale(scales)
    alone = [fit_scale([scale]) for scale in scales]
    most = max(int(each.shift[0]) for each in alone)
    widened = [int(each.multiplier[0]) << (most - int(each.shift[0])) for each in alone]
    assert (found.shift.size == 1) == (max(widened) <= LARGEST)


def test_no_nearer_sixteen_bits_exist() -> None:
    third = fit_scale([1 / 3], bits=16)
    assert (third.multiplier.tolist(), third.shift.tolist()) == ([43691], [17])
    near = [abs(Fraction(1 / 3) - Fraction(m, 1 << 17)) for m in (43690, 43691, 43692)]
    assert near[1] == min(near) == Fraction(float(third.error[0]))


def test_rounding_up_to_one_bit_more_takes_a_shift_back() -> None:
    just_below = np.nextafter(1.0, 0.0)
    found = fit_scale([just_below])
    assert (found.multiplier.tolist(), found.shift.tolist()) == ([1], [0])
    assert not found.exact


@pytest.mark.parametrize("scale", [-1.0, -0.25, LARGEST + 0.5, 2.0**24, np.inf, -np.inf, np.nan])
def test_rejects_what_no_multiplier_holds(scale: float) -> None:
    with pytest.raises(ValueError, match=r"^scales must lie in 0\.\.16777215, got \[1\.0, "):
        fit_scale([1.0, scale])
