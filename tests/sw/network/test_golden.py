from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.network import (
    INPUT,
    ActType,
    Add,
    Conv2d,
    Flatten,
    IntArray,
    IntegerNetwork,
    Layer,
    Linear,
    MaxPool2d,
    NetworkError,
    Overflow,
    Requantize,
    Shape,
    Tensor,
    apply_layer,
    forward,
    golden,
    requantize,
    trace,
)
from systolith.network.layers import conv2d
from tests.support.drawn_networks import (
    adds,
    avg_pools,
    conv2ds,
    images,
    linears,
    max_pools,
    networks,
)
from tests.support.oracle import average_factor, naive
from tests.support.strategies import act_types, generators, tensors

UINT8 = ActType(bits=8, signed=False)
UNIT = Requantize(multiplier=np.array([1]), shift=np.array([0]))
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))


def check_against_loops(layer: Layer, inputs: list[Tensor], rng: np.random.Generator) -> None:
    for extremes in (False, True):
        values = [images(tensor, rng, 2, extremes=extremes) for tensor in inputs]
        found = apply_layer(layer, values, inputs)
        expected = [naive(layer, [array[n] for array in values], inputs) for n in range(2)]
        assert found.dtype == np.int64
        assert found.tolist() == expected


@given(data=st.data(), shape=SHAPES, act=act_types(), rng=generators())
def test_convolution_equals_loops(
    data: st.DataObject, shape: Shape, act: ActType, rng: np.random.Generator
) -> None:
    check_against_loops(data.draw(conv2ds(shape)), [Tensor(shape, act)], rng)


@given(data=st.data(), shape=SHAPES, act=act_types(), rng=generators())
def test_pools_equal_loops(
    data: st.DataObject, shape: Shape, act: ActType, rng: np.random.Generator
) -> None:
    for layer in (data.draw(max_pools(shape)), data.draw(avg_pools(shape))):
        check_against_loops(layer, [Tensor(shape, act)], rng)


@given(data=st.data(), features=st.integers(1, 20), act=act_types(), rng=generators())
def test_linear_equals_loops(
    data: st.DataObject, features: int, act: ActType, rng: np.random.Generator
) -> None:
    check_against_loops(data.draw(linears(features)), [Tensor((features,), act)], rng)


@given(data=st.data(), tensor=tensors(), other=act_types(), rng=generators())
def test_addition_and_flattening_equal_loops(
    data: st.DataObject, tensor: Tensor, other: ActType, rng: np.random.Generator
) -> None:
    layer = data.draw(adds(tensor.shape, sources=("a", "b")))
    check_against_loops(layer, [tensor, Tensor(tensor.shape, other)], rng)
    check_against_loops(Flatten(name="flat", input=INPUT), [tensor], rng)


def padded(x: IntArray, padding: tuple[int, int, int, int], fill: float) -> torch.Tensor:
    top, bottom, left, right = padding
    return torch.nn.functional.pad(
        torch.from_numpy(x).double(), (left, right, top, bottom), value=fill
    )


def as_integers(values: torch.Tensor) -> IntArray:
    whole = values.numpy().astype(np.int64)
    assert (whole == values.numpy()).all()
    return np.asarray(whole)


@given(data=st.data(), shape=SHAPES, act=act_types(), rng=generators())
def test_convolution_equals_pytorch(
    data: st.DataObject, shape: Shape, act: ActType, rng: np.random.Generator
) -> None:
    layer, tensor = data.draw(conv2ds(shape)), Tensor(shape, act)
    x = images(tensor, rng, 3)
    acc = torch.nn.functional.conv2d(
        padded(x - act.zero_point, layer.padding, 0),
        torch.tensor(layer.weight).double(),
        torch.tensor(layer.bias).double(),
        stride=layer.stride,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    expected = requantize(as_integers(acc), layer.requantize, layer.output)
    assert np.array_equal(apply_layer(layer, [x], [tensor]), expected)


@given(data=st.data(), features=st.integers(1, 20), act=act_types(), rng=generators())
def test_linear_equals_pytorch(
    data: st.DataObject, features: int, act: ActType, rng: np.random.Generator
) -> None:
    layer, tensor = data.draw(linears(features)), Tensor((features,), act)
    x = images(tensor, rng, 3)
    centred = torch.from_numpy(x - act.zero_point)
    acc = torch.nn.functional.linear(centred, torch.tensor(layer.weight))
    expected = requantize(acc.numpy() + layer.bias, layer.requantize, layer.output)
    assert np.array_equal(apply_layer(layer, [x], [tensor]), expected)


@given(data=st.data(), shape=SHAPES, act=act_types(), rng=generators())
def test_pools_equal_pytorch(
    data: st.DataObject, shape: Shape, act: ActType, rng: np.random.Generator
) -> None:
    tensor = Tensor(shape, act)
    x = images(tensor, rng, 3)
    pool = data.draw(max_pools(shape))
    most = torch.nn.functional.max_pool2d(
        padded(x, pool.padding, -torch.inf),
        pool.kernel_size,
        pool.stride,
        dilation=pool.dilation,
    )
    assert np.array_equal(apply_layer(pool, [x], [tensor]), as_integers(most))
    average = data.draw(avg_pools(shape))
    kernel = average.window(shape)
    acc = torch.nn.functional.avg_pool2d(
        padded(x - act.zero_point, average.padding, 0), kernel, average.stride, divisor_override=1
    )
    _, ho, wo = average.output_shape([shape])
    factors = [[average_factor(average, shape, y, x) for x in range(wo)] for y in range(ho)]
    expected = requantize(as_integers(acc) * factors, average.requantize, average.output)
    assert np.array_equal(apply_layer(average, [x], [tensor]), expected)


@settings(max_examples=30)
@given(network=networks(), rng=generators())
def test_network_equals_loops(network: IntegerNetwork, rng: np.random.Generator) -> None:
    (image,) = images(network.input, rng, 1)
    expected: dict[str, Any] = {INPUT: image}
    for layer in network.layers:
        values = [np.array(expected[name]) for name in layer.inputs]
        expected[layer.name] = naive(layer, values, network.inputs_of(layer))
    traced = trace(network, image[None])
    assert {name: array[0].tolist() for name, array in traced.items()} == {
        **expected,
        INPUT: image.tolist(),
    }
    results = forward(network, image[None])
    assert list(results) == list(network.outputs)
    assert all(np.array_equal(array, traced[name]) for name, array in results.items())


@settings(max_examples=30)
@given(network=networks(), rng=generators())
def test_results_lie_in_their_types(network: IntegerNetwork, rng: np.random.Generator) -> None:
    for name, array in trace(network, images(network.input, rng, 3, extremes=True)).items():
        tensor = network.tensors[name]
        assert array.shape == (3, *tensor.shape) and array.dtype == np.int64
        assert tensor.type.low <= array.min() and array.max() <= tensor.type.high


@settings(max_examples=20)
@given(network=networks(), rng=generators(), count=st.sampled_from([0, 1, 5, 12]))
def test_batches_do_not_matter(
    network: IntegerNetwork, rng: np.random.Generator, count: int
) -> None:
    x = images(network.input, rng, count)
    whole = trace(network, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden, "BATCH", 5)
        patch.setattr(conv2d, "LOWERED_BYTES", 1000)
        parts = trace(network, x)
    assert all(np.array_equal(whole[name], parts[name]) for name in network.tensors)
    assert all(len(array) == count for array in whole.values())


def small_network() -> IntegerNetwork:
    weight = np.arange(-9, 9).reshape(2, 1, 3, 3)
    conv = Conv2d(
        name="conv",
        input=INPUT,
        weight=weight,
        bias=np.array([5, -5]),
        requantize=UNIT,
        output=UINT8,
    )
    return IntegerNetwork(
        input=Tensor((1, 4, 4), UINT8), layers=(conv, Flatten(name="flat", input="conv"))
    )


def test_more_images_than_a_batch() -> None:
    network = small_network()
    x = images(network.input, np.random.default_rng(0), 2 * golden.BATCH + 3)
    results = forward(network, x)["flat"]
    assert results.shape == (2 * golden.BATCH + 3, 8)
    for n in (0, golden.BATCH - 1, golden.BATCH, 2 * golden.BATCH + 2):
        assert np.array_equal(forward(network, x[n : n + 1])["flat"][0], results[n])


def test_no_image_gives_empty_results() -> None:
    results = trace(small_network(), np.zeros((0, 1, 4, 4), dtype=np.int64))
    assert {name: array.shape for name, array in results.items()} == {
        "input": (0, 1, 4, 4),
        "conv": (0, 2, 2, 2),
        "flat": (0, 8),
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.int64])
def test_any_integer_dtype_gives_the_same(dtype: Any) -> None:
    network = small_network()
    x = images(network.input, np.random.default_rng(1))
    assert np.array_equal(forward(network, x)["flat"], forward(network, x.astype(dtype))["flat"])


def test_results_do_not_share_memory_with_the_images() -> None:
    network = IntegerNetwork(
        input=Tensor((1, 2, 2), UINT8), layers=(Flatten(name="flat", input=INPUT),)
    )
    x = np.zeros((1, 1, 2, 2), dtype=np.int64)
    forward(network, x)["flat"][:] = 7
    assert not x.any()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 4, 4), int), r"^images must have shape \(N, 1, 4, 4\), got \(1, 4, 4\)$"),
        (np.zeros((2, 3, 4, 4), int), r"^images must have shape \(N, 1, 4, 4\), got \(2, 3, 4, 4"),
        (np.int64(3), r"^images must have shape \(N, 1, 4, 4\), got \(\)$"),
        (np.zeros((1, 1, 4, 4)), r"^images must be integers, got float64$"),
        (np.zeros((1, 1, 4, 4), bool), r"^images must be integers, got bool$"),
        (np.full((1, 1, 4, 4), 256), r"^images must lie in 0\.\.255, got 256\.\.256$"),
        (np.full((1, 1, 4, 4), -1), r"^images must lie in 0\.\.255, got -1\.\.-1$"),
        (
            np.full((1, 1, 4, 4), 2**64 - 1, dtype=np.uint64),
            r"^images must lie in 0\.\.255, got 18446744073709551615\.\.18446744073709551615$",
        ),
        (np.full((1, 2), -1), r"^2 problems:\n  - images must have shape .*\n  - images must lie "),
    ],
)
def test_rejects_wrong_images(x: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        forward(small_network(), x)


def test_apply_layer_rejects_what_does_not_fit() -> None:
    tensor = Tensor((2,), UINT8)
    add = Add(name="add", inputs=("a", "b"), multipliers=(1, 1), requantize=UNIT, output=UINT8)
    one, two = np.zeros((1, 2), dtype=int), np.zeros((2, 2), dtype=int)
    for values, inputs, message in [
        ([one], [tensor] * 2, r"^layer 'add': reads 2 tensors, got 1 arrays$"),
        ([one, one], [tensor], r"^layer 'add': reads 2 tensors, got 1 shapes$"),
        ([one, two], [tensor] * 2, r"^layer 'add': reads batches of equal size, got \[1, 2\]$"),
        ([one, one - 1], [tensor] * 2, r"^layer 'add': values of 'b' must lie in 0\.\.255, got"),
    ]:
        with pytest.raises(NetworkError, match=message):
            apply_layer(add, values, inputs)


def test_apply_layer_refuses_accumulators_that_are_not_exact() -> None:
    wide = ActType(bits=16, signed=False)
    weight = np.full((1, 1 << 16), -(1 << 15))
    layer = Linear(
        name="fc",
        input=INPUT,
        weight=weight,
        bias=np.array([0]),
        weight_bits=16,
        requantize=UNIT,
        output=wide,
    )
    with pytest.raises(NetworkError, match=r"^layer 'fc': needs a 48-bit accumulator; at most 47"):
        apply_layer(layer, [np.zeros((1, 1 << 16), int)], [Tensor((1 << 16,), wide)])


def test_the_widest_accumulators_are_exact() -> None:
    # 47 bits: odd sums near 2**46 are lost in anything narrower than float64.
    wide = ActType(bits=16, signed=False)
    weight = np.full((1, 1 << 15), (1 << 15) - 1)
    keep = Requantize(multiplier=np.array([1]), shift=np.array([0]), overflow=Overflow.WRAP)
    layer = Linear(
        name="fc",
        input=INPUT,
        weight=weight,
        bias=np.array([12345]),
        weight_bits=16,
        requantize=keep,
        output=wide,
    )
    tensor = Tensor((1 << 15,), wide)
    x = np.full((1, 1 << 15), 65535)
    x[0, ::3] = 65533
    total = sum(int(value) * ((1 << 15) - 1) for value in x[0]) + 12345
    assert apply_layer(layer, [x], [tensor]).tolist() == [[total % 65536]]


def test_padding_never_wins_a_maximum() -> None:
    act = ActType(bits=4, signed=True, zero_point=5)
    pool = MaxPool2d(
        name="pool", input=INPUT, kernel_size=(3, 3), stride=(1, 1), padding=(2, 2, 2, 2)
    )
    found = apply_layer(pool, [np.full((1, 1, 2, 2), -8)], [Tensor((1, 2, 2), act)])
    assert (found == -8).all()
