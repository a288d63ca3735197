"""Scales and offsets of files as integers, compared with rational arithmetic for every sum."""

from fractions import Fraction
from math import floor, inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from systolith.exchange.values.requantizers import (
    SCALE_TOLERANCE,
    FittedRequantizer,
    Quantizer,
    fit_requantizer,
)
from systolith.exchange.values.value import FloatArray, PendingLayer
from systolith.network import ActType, IntArray, Layer, Requantize, requantize


def _no_layer(name: str, bias: IntArray, spec: Requantize, output: ActType) -> Layer:
    raise AssertionError(name)


def _pending(
    scale: FloatArray, offset: FloatArray, most: int, *, biased: bool = True, low: float = -inf
) -> PendingLayer:
    """A layer whose sums are -most..most, without a bias."""
    shape = (len(scale), 1, 1)
    return PendingLayer(
        name="layer",
        shape=shape,
        result=shape,
        make=_no_layer,
        sum_range=lambda bias: (
            min(0, int(bias.min())) - most,
            max(0, int(bias.max())) + most,
        ),
        scale=scale,
        offset=offset,
        biased=biased,
        low=low,
    )


def _right(pending: PendingLayer, quantizer: Quantizer, channel: int, acc: int) -> int:
    """What the file says, in rationals."""
    real = Fraction(pending.scale[channel]) * acc + Fraction(pending.offset[channel])
    if pending.low > -inf:
        real = max(real, Fraction(pending.low))
    ratio, zero = real / Fraction(quantizer.scale), quantizer.type.zero_point
    if quantizer.rounding == "FLOOR":
        whole = floor(ratio) + zero
    elif quantizer.after_zero_point:
        whole = round(ratio + zero)
    else:
        whole = round(ratio) + zero
    return min(max(whole, quantizer.low), quantizer.high)


def _ours(found: FittedRequantizer, output: ActType, sums: IntArray) -> IntArray:
    acc = sums[:, None] + found.bias[None, :]
    return requantize(acc, found.spec, output)


def _differences(
    pending: PendingLayer, quantizer: Quantizer, found: FittedRequantizer, most: int
) -> IntArray:
    sums = np.arange(-most, most + 1)
    channels = len(pending.scale)
    right = [[_right(pending, quantizer, c, int(acc)) for c in range(channels)] for acc in sums]
    return np.asarray(_ours(found, quantizer.type, sums) - np.array(right))


SCALES = (
    st.floats(1e-4, 20).map(lambda value: float(np.float32(value)))
    | st.integers(-8, 3).map(lambda power: 2.0**power)
    | st.integers(1, 40).map(lambda area: 1 / area)
)
SHARES = st.floats(-9, 9) | st.integers(-9, 9).map(lambda number: number / 4) | st.just(0.0)


def test_channel_without_sums_rounds_its_offset_as_the_quantizer_does() -> None:
    pending = _pending(np.zeros(3), np.array([0.0, -0.5, 1.5]), 5, biased=False)
    for rounding, wanted in (("FLOOR", [0, -1, 1]), ("ROUND", [0, 0, 1])):
        quantizer = Quantizer(scale=1.0, type=ActType(bits=2, signed=True), rounding=rounding)
        found = fit_requantizer(pending, quantizer, 4)
        assert isinstance(found, FittedRequantizer)
        assert _ours(found, quantizer.type, np.arange(-5, 6)).tolist() == [wanted] * 11


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_is_called_exact_is_equal_for_every_sum(data: st.DataObject) -> None:
    channels = data.draw(st.integers(1, 3))
    scale = np.array([data.draw(SCALES | st.just(0.0)) for _ in range(channels)])
    offset = np.array([data.draw(SHARES) for _ in range(channels)])
    if data.draw(st.booleans()):
        offset = np.rint(offset) * scale
    signed = data.draw(st.booleans())
    bits = data.draw(st.integers(2, 5))
    zero = data.draw(st.just(0) | st.integers(0, 2)) if not signed or bits > 2 else 0
    quantizer = Quantizer(
        scale=float(np.float32(data.draw(SCALES))),  # files hold float32
        type=ActType(bits=bits, signed=signed, zero_point=zero),
        rounding=data.draw(st.sampled_from(["ROUND", "ROUND", "FLOOR"])),
        narrow=data.draw(st.booleans()),
        after_zero_point=data.draw(st.booleans()),
    )
    for unit in (np.where(scale == 0, 1, scale), quantizer.scale / 2):  # no nearly whole numbers
        steps = offset / unit
        assume(
            ((np.abs(steps - np.rint(steps)) > SCALE_TOLERANCE) | (steps == np.rint(steps))).all()
        )
    most = data.draw(st.sampled_from([5, 90]))
    low = data.draw(st.sampled_from([-inf, 0.0]))
    pending = _pending(scale, offset, most, biased=data.draw(st.booleans()), low=low)
    width = data.draw(st.integers(4, 24))
    found = fit_requantizer(pending, quantizer, width)
    if isinstance(found, list):
        assert "does not fit" in found[0] or "ties to even" in found[0]
        return
    assert pending.biased or not found.bias.any()
    differences = np.abs(_differences(pending, quantizer, found, most))
    assert differences.max() <= np.ceil(found.units)


@pytest.mark.parametrize("seed", range(6))
def test_batch_norm_behind_few_bits_is_exact_with_one_narrow_shift(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale, offset = rng.uniform(0.02, 0.2, 32), rng.normal(size=32)
    quantizer = Quantizer(scale=0.3, type=ActType(bits=2, signed=False), after_zero_point=True)
    found = fit_requantizer(_pending(scale, offset, 128), quantizer)
    assert isinstance(found, FittedRequantizer) and found.units == 0
    assert found.spec.offset is not None and found.spec.shift.size == 1
    assert int(found.spec.multiplier.max()).bit_length() <= 12
    assert not _differences(_pending(scale, offset, 128), quantizer, found, 128).any()


def test_scales_that_are_powers_of_two_need_neither_multiplier_nor_offset() -> None:
    scale, offset = np.full(4, 0.25), np.array([0.3, -1.7, 12.1, 0.01])
    quantizer = Quantizer(scale=2.0, type=ActType(bits=4, signed=True))
    found = fit_requantizer(_pending(scale, offset, 300), quantizer)
    assert isinstance(found, FittedRequantizer) and found.units == 0
    assert found.spec.power_of_two and found.spec.offset is None
    assert not _differences(_pending(scale, offset, 300), quantizer, found, 300).any()


def test_a_channel_without_weights_gives_its_constant() -> None:
    scale, offset = np.array([0.0, 0.5, 0.0]), np.array([3.3, 0.25, -9.0])
    quantizer = Quantizer(scale=1.0, type=ActType(bits=4, signed=True))
    found = fit_requantizer(_pending(scale, offset, 40), quantizer)
    assert isinstance(found, FittedRequantizer) and found.units == 0
    ours = _ours(found, quantizer.type, np.arange(-40, 41))
    assert (ours[:, 0] == 3).all() and (ours[:, 2] == -8).all()
    assert not _differences(_pending(scale, offset, 40), quantizer, found, 40).any()


def test_a_bias_beyond_40_bits_is_an_offset() -> None:
    scale, offset = np.array([1e-12, 0.1]), np.array([2.2, 0.33])
    quantizer = Quantizer(scale=1.0, type=ActType(bits=4, signed=True))
    found = fit_requantizer(_pending(scale, offset, 40), quantizer)
    assert isinstance(found, FittedRequantizer) and found.units == 0
    assert not _differences(_pending(scale, offset, 40), quantizer, found, 40).any()


def test_averages_over_an_odd_window_are_exact_and_over_an_even_one_are_not() -> None:
    quantizer = Quantizer(scale=1.0, type=ActType(bits=8, signed=True))
    for area in (9, 25, 49, 6, 36):
        pending = _pending(np.array([1 / area]), np.zeros(1), 127 * area, biased=False)
        found = fit_requantizer(pending, quantizer)
        assert isinstance(found, FittedRequantizer)
        differences = _differences(pending, quantizer, found, 3 * area)
        assert (found.units == 0) == (area % 2 == 1)
        assert differences.any() == (area % 2 == 0)


def test_what_no_multiplier_meets_is_bounded() -> None:
    rng = np.random.default_rng(0)
    scale, offset = rng.uniform(1e-5, 2e-5, 64), rng.normal(size=64)
    quantizer = Quantizer(scale=0.013, type=ActType(bits=8, signed=True))
    pending = _pending(scale, offset, 1 << 20)
    found = fit_requantizer(pending, quantizer)
    assert isinstance(found, FittedRequantizer)
    assert 0 < found.units < 2**-15
    sums = rng.integers(-(1 << 17), 1 << 17, 2000)
    right = np.array([[_right(pending, quantizer, c, int(a)) for c in range(64)] for a in sums])
    assert np.mean(_ours(found, quantizer.type, sums) != right) < 1e-4
