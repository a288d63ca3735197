"""Single engines and pipelines: stream rules, documented timing, counters that wrap."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Elaboratable
from amaranth.lib import data

from systolith.emit import StreamPort
from systolith.gateware import ConvEngine, Gearbox, Pipeline, PoolEngine
from systolith.network import (
    ActType,
    Conv2d,
    Flatten,
    Granularity,
    IntegerNetwork,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    Overflow,
    Pattern,
    Requantize,
    Rounding,
    Tensor,
    forward,
)
from systolith.plan import (
    ARRIVE_LATENCY,
    BUFFER_LATENCY,
    ArrayShape,
    GearboxPlan,
    NetworkPlan,
    plan_network,
)
from tests.support.networks import convolution, small_network
from tests.support.random_networks import random_images
from tests.support.slow import first_few
from tests.support.stream_bench import Run, StreamBench, simulate


def _ports(plan: NetworkPlan) -> tuple[StreamPort, StreamPort]:
    first, last = plan.engines[0], plan.engines[-1]
    return (
        StreamPort(layer="", tensor=plan.network.input, lanes=first.lanes_in, signal="i"),
        StreamPort(layer="", tensor=last.output, lanes=last.lanes_out, signal="o"),
    )


def _check(plan: NetworkPlan, images: np.ndarray, *stalls: tuple[float, float]) -> Run:
    """Compare all values with the golden ones, without stalls first: that run is the result.

    Each further run pauses the producer and the consumer with two probabilities.
    """
    dut, (source, sink) = Pipeline(plan), _ports(plan)
    bench = StreamBench(dut, [dut.o])
    expected = forward(plan.network, images)[plan.network.outputs[0]].reshape(len(images), -1)
    inputs, count = source.pack(source.to_transfers(images)), len(images) * sink.transfers_per_frame
    runs = []
    for gap, stall in [(0.0, 0.0), *stalls]:
        runs += bench.run(inputs, [count], gap=gap, stall=stall)
        values = sink.from_transfers(sink.unpack(runs[-1].outputs)).reshape(len(images), -1)
        assert np.array_equal(values, expected)
    return runs[0]


def _gearbox(lanes_in: int, lanes_out: int) -> Gearbox:
    tensor = Tensor((4, 1, 1), ActType(bits=4, signed=False))
    return Gearbox(GearboxPlan(name="g", tensor=tensor, lanes_in=lanes_in, lanes_out=lanes_out))


def _single(kind: str) -> Elaboratable:
    plan = plan_network(small_network(), multipliers=30)
    if kind == "pool":
        pool = next(stage for stage in plan.engines if stage.name == "pool2")
        return PoolEngine(pool, plan.network["pool2"])  # type: ignore[arg-type]
    layer = plan.network["conv1"]
    assert isinstance(layer, Conv2d)
    return ConvEngine(plan.convolutions[0], layer)


@pytest.mark.parametrize("kind", ["conv", "pool", "narrow to wide", "wide to narrow", "pipeline"])
def test_valid_rises_without_ready_and_input_is_taken_until_full(kind: str) -> None:
    duts = {
        "conv": lambda: _single("conv"),
        "pool": lambda: _single("pool"),
        "narrow to wide": lambda: _gearbox(1, 4),
        "wide to narrow": lambda: _gearbox(4, 2),
        "pipeline": lambda: Pipeline(plan_network(small_network(), multipliers=30)),
    }
    dut = duts[kind]()
    state = {"taken": 0, "payload": None, "offers": 0, "ready": True}

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(dut.o.ready, 0)
        ctx.set(dut.i.valid, 1)
        ctx.set(data.View.as_value(dut.i.payload), 1)
        for _ in range(1500):
            state["ready"] = ctx.get(dut.i.ready)
            state["taken"] += ctx.get(dut.i.ready)
            if ctx.get(dut.o.valid):
                word = ctx.get(data.View.as_value(dut.o.payload))
                assert state["payload"] in (None, word), "payload changed under back-pressure"
                state["payload"] = word
                state["offers"] += 1
            else:
                assert not state["offers"], "valid fell before ready"
            await ctx.tick()

    simulate(dut, bench)
    assert state["offers"] > 100
    assert not state["ready"], "back-pressure reaches the input in the end"


@pytest.mark.parametrize(
    "array",
    [
        ArrayShape(rows=1, columns=1),
        ArrayShape(rows=3, columns=2, multipliers=2),
        ArrayShape(rows=9, columns=4, multipliers=3),
        ArrayShape(rows=7, columns=3, multipliers=3),
    ],
)
def test_latency_of_an_engine_is_the_documented_one(array: ArrayShape) -> None:
    # A window of the whole image: all steps follow the last input transfer.
    network = convolution(channels=4, filters=4, size=(3, 3), kept=(3, 4))
    layer = network["conv"]
    assert isinstance(layer, Conv2d)
    whole = IntegerNetwork(
        input=network.input,
        layers=(
            Conv2d(
                name="conv",
                input="input",
                weight=layer.weight,
                bias=layer.bias,
                mask=layer.mask,
                pattern=layer.pattern,
                requantize=layer.requantize,
                output=layer.output,
            ),
        ),
    )
    plan = plan_network(whole, arrays={"conv": array})
    (engine,) = plan.convolutions
    assert engine.window.output_pixels == 1
    run = _check(plan, random_images(whole, 1, 0))
    # The write comes `latency` cycles after a pass has ended, and the output buffer takes two.
    last_step = run.input_cycles[-1] + ARRIVE_LATENCY + engine.pass_cycles - 1
    assert run.output_cycles[0] == last_step + engine.latency + BUFFER_LATENCY
    later = run.output_cycles[0] + (engine.passes - 1) * engine.pass_cycles
    assert run.output_cycles[-1] == later + engine.transfers_of_pass(engine.passes - 1) - 1


def test_a_pool_has_the_documented_latency() -> None:
    network = IntegerNetwork(
        input=Tensor((2, 3, 2), ActType(bits=5, signed=True)),
        layers=(MaxPool2d(name="p", input="input", kernel_size=(3, 2), stride=(1, 1)),),
    )
    plan = plan_network(network)
    (engine,) = plan.engines
    run = _check(plan, random_images(network, 1, 0))
    last_step = run.input_cycles[-1] + ARRIVE_LATENCY + engine.pass_cycles - 1
    assert run.output_cycles[0] == last_step + engine.latency + BUFFER_LATENCY


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 2)])
def test_position_counters_wrap(size: tuple[int, int]) -> None:
    network = convolution(channels=2, filters=2, size=size, kernel=(1, 1), seed=4)
    plan = plan_network(network, arrays={"conv": ArrayShape(rows=2, columns=2)})
    (engine,) = plan.engines
    frames = (3 << engine.position_bits) // engine.window.input_pixels
    images = random_images(network, frames, 5)
    run = _check(plan, images, (0.3, 0.3))
    assert run.output_cycles[-1] - run.input_cycles[0] + 1 == plan.cycles(frames)


def test_position_counters_wrap_with_strides_beyond_the_kernel() -> None:
    # Pixels are given up before they arrive, and windows wait far ahead.
    pool = MaxPool2d(name="p", input="input", kernel_size=(1, 1), stride=(3, 3))
    tensor = Tensor((1, 4, 5), ActType(bits=4, signed=True))
    plan = plan_network(IntegerNetwork(input=tensor, layers=(pool,)))
    frames = (2 << plan.engines[0].position_bits) // 20 + 1
    images = random_images(plan.network, frames, 6)
    run = _check(plan, images, (0.2, 0.6))
    assert run.output_cycles[-1] - run.input_cycles[0] + 1 == plan.cycles(frames)


def _extreme(
    bits: int, weight_bits: int, signed: bool, overflow: Overflow, rounding: Rounding
) -> Conv2d:
    """Weights, biases and multipliers at both ends of their ranges."""
    low = -1 if weight_bits == 1 else -(1 << weight_bits - 1)
    high = 1 if weight_bits == 1 else (1 << weight_bits - 1) - 1
    weight = np.empty((4, 3, 2, 2), dtype=np.int64)
    weight[0], weight[1] = low, high
    weight[2:] = np.where(np.arange(24).reshape(2, 3, 2, 2) % 2, low, high)
    limit = 1 << 39
    shift = min(bits + weight_bits, 47)
    return Conv2d(
        name="conv",
        input="input",
        weight=weight,
        weight_bits=weight_bits,
        bias=np.array([0, -limit, limit - 1, 7]),
        requantize=Requantize(
            multiplier=np.array([65535, 1, 0, 30000]),
            shift=np.array([shift + 12, 0, 47, 24]),
            rounding=rounding,
            overflow=overflow,
        ),
        output=ActType(bits=bits, signed=signed, zero_point=1),
        padding=(1, 1, 0, 1),
    )


SIZES = [
    (1, 1, False),
    (2, 1, True),
    (8, 2, False),
    (16, 16, True),
    (16, 16, False),
    (1, 16, False),
]
ENDS = [(overflow, rounding) for overflow in Overflow for rounding in Rounding]
EXTREMES = [
    (*SIZES[size], *ENDS[(size + step) % len(ENDS)])
    for step in (0, 4, 1, 5, 2, 6, 3, 7)
    for size in range(len(SIZES))
]
"""All of both; the first 12 have all sizes twice, and all ends."""


def test_all_extremes_are_listed() -> None:
    assert len(set(EXTREMES)) == len(EXTREMES) == len(SIZES) * len(ENDS)
    assert {extreme[3:] for extreme in EXTREMES[:12]} == set(ENDS)


@pytest.mark.parametrize(
    ("bits", "weight_bits", "signed", "overflow", "rounding"), first_few(EXTREMES, 12)
)
def test_widest_and_narrowest_numbers(
    bits: int, weight_bits: int, signed: bool, overflow: Overflow, rounding: Rounding
) -> None:
    layer = _extreme(bits, weight_bits, signed, overflow, rounding)
    act = ActType(bits=bits, signed=signed)
    act = ActType(bits=bits, signed=signed, zero_point=act.high)
    network = IntegerNetwork(input=Tensor((3, 3, 3), act), layers=(layer,))
    ends = np.array([act.low, act.high])
    images = ends[np.random.default_rng(0).integers(0, 2, (4, 3, 3, 3))]
    images[0], images[1] = act.low, act.high
    _check(plan_network(network, arrays={"conv": ArrayShape(rows=5, columns=3)}), images)


def _classifier(source: str, shape: tuple[int, ...]) -> tuple[Layer, ...]:
    rng = np.random.default_rng(1)
    linear = Linear(
        name="fc",
        input="flat",
        weight=rng.integers(-8, 8, (3, int(np.prod(shape)))),
        bias=np.array([1, -2, 3]),
        requantize=Requantize(multiplier=np.array([3]), shift=np.array([4])),
        output=ActType(bits=6, signed=True),
        weight_bits=4,
    )
    return Flatten(name="flat", input=source), linear


def _pattern_network(granularity: Granularity, shared_by: int) -> IntegerNetwork:
    rng = np.random.default_rng(7)
    pattern = Pattern(select=KOutOfN(5, 6, granularity, shared_by))
    mask = pattern.best_mask(rng.random((4, 6, 2, 3)))
    conv = Conv2d(
        name="conv",
        input="input",
        weight=rng.integers(-128, 128, mask.shape) * mask,
        bias=rng.integers(-99, 99, 4),
        mask=mask,
        pattern=pattern,
        stride=(3, 4),
        padding=(1, 0, 2, 1),
        requantize=Requantize(multiplier=np.array([55]), shift=np.array([14])),
        output=ActType(bits=7, signed=True, zero_point=-9),
    )
    source = Tensor((6, 5, 6), ActType(bits=5, signed=True, zero_point=3))
    return IntegerNetwork(input=source, layers=(conv, *_classifier("conv", (4, 2, 2))))


@pytest.mark.parametrize("shared_by", [1, 2])
@pytest.mark.parametrize("granularity", Granularity)
@pytest.mark.parametrize("multipliers", first_few([5, 1, 2, 4], 2))
def test_patterns_strides_beyond_the_kernel_and_a_flattened_image(
    granularity: Granularity, shared_by: int, multipliers: int
) -> None:
    network = _pattern_network(granularity, shared_by)
    arrays = {
        "conv": ArrayShape(rows=4, columns=3, multipliers=multipliers),
        "fc": ArrayShape(rows=7, columns=2),
    }
    plan = plan_network(network, arrays=arrays)
    run = _check(plan, random_images(network, 3, 8), (0.3, 0.4))
    assert run.output_cycles[-1] - run.input_cycles[0] + 1 == plan.cycles(3)


def test_vectors_go_straight_into_a_linear_layer() -> None:
    (flat, linear) = _classifier("input", (6,))
    act = ActType(bits=16, signed=False, zero_point=65535)
    network = IntegerNetwork(input=Tensor((6,), act), layers=(flat, linear))
    _check(plan_network(network, multipliers=5), random_images(network, 4, 2))


@pytest.mark.parametrize(("k", "n"), [(1, 4), (2, 3), (3, 6), (4, 4)])
def test_a_pattern_over_a_flattened_image(k: int, n: int) -> None:
    rng = np.random.default_rng(k)
    flat, linear = _classifier("input", (4, 3, 3))
    assert isinstance(linear, Linear)
    pattern = Pattern(select=KOutOfN(k, n))
    mask = pattern.best_mask(rng.random((3, 36, 1, 1))).reshape(3, 36)
    sparse = replace(
        linear,
        weight=linear.weight * mask,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
    )
    source = Tensor((4, 3, 3), ActType(bits=5, signed=True, zero_point=3))
    network = IntegerNetwork(input=source, layers=(flat, sparse))
    for rows in (1, 5):
        plan = plan_network(network, arrays={"fc": ArrayShape(rows=rows, columns=2)})
        run = _check(plan, random_images(network, 3, 8), (0.2, 0.2))
        assert len(run.outputs) == 9
        (engine,) = plan.convolutions
        assert engine.compute_cycles == -(-36 * k // n // rows) * 2
