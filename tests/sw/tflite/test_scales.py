"""Integer scales against the arithmetic of TFLite's kernels, for every sum."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from systolith.network import ActType, requantize
from systolith.tflite import TfliteError
from systolith.tflite.doubles import average_exactly, round_away, scale_exactly
from systolith.tflite.scales import quantize_multiplier

ZEROS = st.integers(-128, 127)


def _int8(zero: int) -> ActType:
    return ActType(bits=8, signed=True, zero_point=zero)


@given(st.floats(2.0**-31, 1000.0))
def test_multipliers_are_within_half_a_unit(scale: float) -> None:
    multiplier, shift = quantize_multiplier(scale)
    assert 1 << 30 <= multiplier < 1 << 31 and 1 <= shift <= 62
    assert abs(multiplier / 2**shift - scale) <= 2.0 ** (-shift - 1)


@pytest.mark.parametrize("scale", [0.0, 2.0**-33, 1e-12])
def test_tiny_scales_become_zero(scale: float) -> None:
    assert quantize_multiplier(scale)[0] == 0


def test_refuses_scales_that_tflite_refuses() -> None:
    with pytest.raises(TfliteError, match=r"^scales by 1e\+12, more than 2\*\*30$"):
        quantize_multiplier(1e12)


@settings(deadline=None, max_examples=60)
@given(count=st.integers(1, 200), zero=ZEROS, clamp=st.none() | st.tuples(ZEROS, ZEROS).map(sorted))
def test_averages_equal_tflites_for_every_sum(
    count: int, zero: int, clamp: list[int] | None
) -> None:
    act = _int8(zero)
    spec = average_exactly(count, act, None if clamp is None else (clamp[0], clamp[1]))
    raw = np.arange(-128 * count, 127 * count + 1)
    size = (np.abs(raw) + count // 2) // count
    expected = np.where(raw > 0, size, -size)
    if clamp is not None:
        expected = expected.clip(clamp[0], clamp[1])
    found = requantize((raw - count * zero)[:, None], spec, act).ravel()
    assert np.array_equal(found, expected)


SCALES = st.floats(1e-4, 4.0) | st.sampled_from(
    [2.0**-k for k in range(8)] + [k / 20 for k in range(1, 40)] + [3 / 64, 5 / 128]
)


@settings(deadline=None, max_examples=60)
@given(
    scales=st.lists(SCALES, min_size=1, max_size=3),
    zero=ZEROS,
    clamp=st.none() | st.tuples(ZEROS, ZEROS).map(sorted),
)
@example(scales=[0.35], zero=0, clamp=None)
@example(scales=[0.5, 0.35], zero=7, clamp=[7, 100])
def test_scaling_equals_doubles_for_every_sum(
    scales: list[float], zero: int, clamp: list[int] | None
) -> None:
    act, reach = _int8(zero), (-4000, 4500)
    low, high = clamp or (-128, 127)
    spec = scale_exactly(scales, reach, act, None if clamp is None else (low, high))
    accs = np.arange(reach[0], reach[1] + 1)
    for channel, scale in enumerate(scales):
        expected = [round_away(float(acc) * scale) + zero for acc in accs.tolist()]
        found = requantize(np.tile(accs[:, None], len(scales)), spec, act)[:, channel]
        assert np.array_equal(found, np.clip(expected, low, high))


def test_counts_thresholds_where_no_multiplier_equals_doubles() -> None:
    """In doubles 10 * 0.35 is a tie and 90 * 0.35 is below one."""
    assert (10 * 0.35, 90 * 0.35) == (3.5, 31.499999999999996)
    act = _int8(0)
    assert scale_exactly([0.35], (-4000, 4500), act).levels == 255
    assert scale_exactly([0.35], (-10, 10), act).levels == 0


def test_ties_up_alone_would_differ() -> None:
    """The multiplier next to the exact one moves negative ties down, as TFLite does."""
    spec = scale_exactly([0.5], (-99, 99), _int8(0))
    assert requantize(np.array([[-3, -1, 1, 3]]).T, spec, _int8(0)).ravel().tolist() == [
        -2, -1, 1, 2,
    ]  # fmt: skip
    assert int(spec.multiplier[0]) == (1 << 30) + 1
