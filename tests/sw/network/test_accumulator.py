import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.network import (
    ActType,
    AvgPool2d,
    Conv2d,
    IntArray,
    Requantize,
    Shape,
    Tensor,
    signed_bits,
)
from tests.support.drawn_networks import adds, avg_pools, conv2ds, images, linears
from tests.support.oracle import average_factor, layer_terms, shift_one, window
from tests.support.strategies import act_types, generators

UNIT = Requantize(multiplier=np.array([1]), shift=np.array([0]))
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


def conv_sums(layer: Conv2d, image: IntArray, zero: int) -> list[tuple[list[int], int]]:
    """Products and bias of every output."""
    filters, ho, wo = layer.output_shape([image.shape])
    return [
        (layer_terms(layer, image.tolist(), f, y, x, zero), int(layer.bias[f]))
        for f in range(filters)
        for y in range(ho)
        for x in range(wo)
    ]


def extreme_image(
    layer: Conv2d, shape: Shape, act: ActType, place: tuple[int, int, int], sign: int
) -> IntArray:
    """The input that drives one output of a convolution to its least or greatest sum."""
    f, y, x = place
    image = np.full(shape, act.zero_point)
    _, per_filter, kh, kw = layer.weight.shape
    first = 0 if layer.groups == 1 else f // (len(layer.weight) // layer.groups)
    for c in range(per_filter):
        for i in range(kh):
            for j in range(kw):
                row = y * layer.stride[0] + i * layer.dilation[0] - layer.padding[0]
                column = x * layer.stride[1] + j * layer.dilation[1] - layer.padding[2]
                if 0 <= row < shape[1] and 0 <= column < shape[2]:
                    up = layer.weight[f, c, i, j] * sign > 0
                    image[first + c, row, column] = act.high if up else act.low
    return image


@given(data=st.data(), shape=SHAPES, act=act_types())
def test_some_input_reaches_both_bounds_of_a_convolution(
    data: st.DataObject, shape: Shape, act: ActType
) -> None:
    layer = data.draw(conv2ds(shape))
    low, high = layer.accumulator_range([Tensor(shape, act)])
    filters, ho, wo = layer.output_shape([shape])
    reached = {0}
    for f, y, x in np.ndindex(filters, ho, wo):
        for sign in (-1, 1):
            image = extreme_image(layer, shape, act, (f, y, x), sign)
            terms = layer_terms(layer, image.tolist(), f, y, x, act.zero_point)
            bias = int(layer.bias[f])
            # The bias comes first, last or in between, so sums without it count as well.
            reached |= {sum(terms), sum(terms) + bias, bias}
    assert (min(reached), max(reached)) == (low, high)


@given(data=st.data(), shape=SHAPES, act=act_types(), rng=generators())
def test_partial_sums_in_any_order_stay_in_range(
    data: st.DataObject, shape: Shape, act: ActType, rng: np.random.Generator
) -> None:
    layer = data.draw(conv2ds(shape))
    low, high = layer.accumulator_range([Tensor(shape, act)])
    (image,) = images(Tensor(shape, act), rng, 1, extremes=data.draw(st.booleans()))
    for terms, bias in conv_sums(layer, image, act.zero_point):
        order = rng.permutation([*terms, bias])
        sums = np.cumsum(order)
        assert low <= sums.min() and sums.max() <= high


@given(data=st.data(), features=st.integers(1, 6), act=act_types())
def test_range_of_a_linear_layer_is_exact(data: st.DataObject, features: int, act: ActType) -> None:
    layer = data.draw(linears(features))
    low, high = act.low - act.zero_point, act.high - act.zero_point
    reached = {0}
    for row, bias in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
        for sign in (-1, 1):
            total = sum(w * (high if w * sign > 0 else low) for w in row)
            reached |= {total, total + bias, bias}
    found = layer.accumulator_range([Tensor((features,), act)])
    assert found == (min(reached), max(reached))


@given(data=st.data(), a=act_types(), b=act_types())
def test_range_of_an_addition_is_exact(data: st.DataObject, a: ActType, b: ActType) -> None:
    layer = data.draw(adds((2,)))

    def scale(value: int, number: int) -> int:
        product = value * layer.multipliers[number] << layer.left_shift
        shift = layer.shifts[number] if layer.shifts else 0
        return shift_one(product, shift, layer.requantize.rounding)

    corners = {
        scale(p - a.zero_point, 0) + scale(q - b.zero_point, 1)
        for p in (a.low, a.high)
        for q in (b.low, b.high)
    }
    assert layer.accumulator_range([Tensor((2,), a), Tensor((2,), b)]) == (
        min(corners),
        max(corners),
    )


@given(data=st.data(), shape=SHAPES, act=act_types())
def test_range_of_average_pooling_is_exact(data: st.DataObject, shape: Shape, act: ActType) -> None:
    layer = data.draw(avg_pools(shape))
    _, ho, wo = layer.output_shape([shape])
    ones = np.ones(shape, dtype=int).tolist()
    area = max(
        len(window(ones, 0, y, x, layer)) * average_factor(layer, shape, y, x)
        for y in range(ho)
        for x in range(wo)
    )
    expected = ((act.low - act.zero_point) * area, (act.high - act.zero_point) * area)
    assert layer.accumulator_range([Tensor(shape, act)]) == expected


def test_taps_that_only_read_padding_cost_no_bits() -> None:
    act = ActType(bits=8, signed=False)
    layer = Conv2d(
        name="conv",
        input="input",
        weight=np.full((1, 1, 3, 3), 100),
        bias=np.array([0]),
        requantize=UNIT,
        output=act,
        padding=(1, 1, 1, 1),
    )
    assert layer.accumulator_range([Tensor((1, 1, 1), act)]) == (0, 100 * 255)
    assert layer.accumulator_range([Tensor((1, 9, 1), act)]) == (0, 3 * 100 * 255)
    assert layer.accumulator_range([Tensor((1, 9, 9), act)]) == (0, 9 * 100 * 255)


def test_huge_images_take_no_time() -> None:
    act = ActType(bits=8, signed=False)
    huge = (1, 10**12, 10**12)
    for kernel in (None, (3, 3)):
        layer = AvgPool2d(
            name="avg", input="input", requantize=UNIT, output=act, kernel_size=kernel
        )
        area = 9 if kernel else 10**24
        assert layer.accumulator_range([Tensor(huge, act)]) == (0, 255 * area)


@given(low=st.integers(-(2**60), 2**60), high=st.integers(-(2**60), 2**60))
def test_signed_bits_is_the_least_width(low: int, high: int) -> None:
    bits = signed_bits(low, high)
    assert -(2 ** (bits - 1)) <= min(low, high) and max(low, high) < 2 ** (bits - 1)
    half = 2.0 ** (bits - 2)
    assert bits == 1 or min(low, high) < -half or max(low, high) >= half


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 0, 1), (-1, -1, 1), (-1, 0, 1), (0, 1, 2), (-4, -4, 3), (-128, 127, 8), (-129, 0, 9)],
)
def test_signed_bits_at_edges(low: int, high: int, bits: int) -> None:
    assert signed_bits(low, high) == bits
