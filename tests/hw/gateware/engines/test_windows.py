"""Windows of all kinds in Amaranth's simulator: values under stalls, cycles as predicted."""

from typing import Any

import numpy as np
import pytest

from systolith.gateware import Pipeline
from systolith.network import (
    ActType,
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    Layer,
    MaxPool2d,
    Pad2d,
    Padding,
    Pattern,
    PerNeuron,
    Requantize,
    Tensor,
    Upsample,
    forward,
)
from systolith.plan import NetworkPlan, PoolPlan, plan_network
from tests.support.pipeline_bench import PipelineBench, run_frames
from tests.support.random_networks import random_images

FRAMES = 3
SIGNED = ActType(bits=5, signed=True, zero_point=3)


def assert_as_planned(layer: Layer, shape: tuple[int, int, int] = (4, 5, 6)) -> NetworkPlan:
    """Send frames through one layer, with and without stalls."""
    network = IntegerNetwork(input=Tensor(shape, SIGNED), layers=(layer,))
    plan = plan_network(network, multipliers=6)
    images = random_images(network, FRAMES, 0)
    expected = forward(network, images)
    bench = PipelineBench(Pipeline(plan))
    for gap, stall in ((0.0, 0.0), (0.4, 0.4)):
        run = bench.run(images, gap=gap, stall=stall, seed=1)
        assert all(np.array_equal(run.outputs[name], expected[name]) for name in expected)
        if not gap:
            assert run.cycles == plan.cycles(FRAMES)
            assert run.last_output[0] - run.first_input + 1 == plan.latency_cycles
    return plan


def _conv(pattern: Pattern | None = None, depthwise: bool = False, **fields: Any) -> Conv2d:
    rng = np.random.default_rng(2)
    pattern = pattern or Pattern()
    weights = (4, 1 if depthwise else 4, 3, 3)
    mask = pattern.best_mask(rng.random(weights))
    return Conv2d(
        name="conv",
        input="input",
        weight=rng.integers(-8, 8, weights) * mask,
        bias=rng.integers(-99, 99, 4),
        requantize=Requantize(multiplier=np.array([5]), shift=np.array([7])),
        output=ActType(bits=8, signed=True, zero_point=-2),
        weight_bits=4,
        groups=4 if depthwise else 1,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
        **fields,
    )


@pytest.mark.parametrize(
    "conv",
    [
        _conv(dilation=(2, 2), padding=(2, 2, 2, 2)),
        _conv(dilation=(2, 3), padding=(4, 4, 6, 6), stride=(2, 1)),
        _conv(depthwise=True, dilation=(1, 2), padding=(0, 1, 3, 4)),
        _conv(Pattern(select=KOutOfN(2, 4)), dilation=(2, 1)),
        _conv(Pattern(select=PerNeuron(5)), dilation=(2, 2), padding=(4, 0, 0, 4)),
        # Taps so far apart that windows read padding only.
        _conv(dilation=(6, 7), padding=(12, 12, 14, 14), stride=(3, 2)),
    ],
)
def test_dilated_convolutions(conv: Conv2d) -> None:
    assert_as_planned(conv)


def test_nine_taps_cost_nine_however_far_apart() -> None:
    near = assert_as_planned(_conv(padding=(1, 1, 1, 1)))
    far = assert_as_planned(_conv(dilation=(3, 3), padding=(3, 3, 3, 3)))
    assert far.convolutions[0].compute_cycles == near.convolutions[0].compute_cycles
    assert far.convolutions[0].macs_kept == near.convolutions[0].macs_kept


def test_a_dilated_max_pool() -> None:
    assert_as_planned(
        MaxPool2d(
            name="pool",
            input="input",
            kernel_size=(2, 3),
            stride=(1, 2),
            padding=(1, 2, 0, 3),
            dilation=(3, 2),
        )
    )


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "counted"),
    [
        ((3, 3), (1, 1), (1, 1, 1, 1), (0, 0, 0, 0)),
        # As ceil_mode=True adds windows: what it adds is not in the area, what is padded may be.
        ((3, 2), (2, 2), (1, 2, 0, 0), (1, 1, 0, 0)),
        ((5, 4), (2, 1), (3, 2, 1, 3), (0, 2, 1, 0)),
    ],
)
@pytest.mark.parametrize("shape", [(4, 6, 5), (2, 2, 3)])
def test_averages_without_padding(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    counted: Padding,
    shape: tuple[int, int, int],
) -> None:
    pool = AvgPool2d(
        name="pool",
        input="input",
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        counted=counted,
        requantize=Requantize(multiplier=np.array([37]), shift=np.array([9])),
        output=ActType(bits=8, signed=True, zero_point=-2),
    )
    (engine,) = assert_as_planned(pool, shape).engines
    assert isinstance(engine, PoolPlan) and engine.weighs


def test_the_least_and_the_greatest_sums_of_windows_fit() -> None:
    """Images of one value: every window has the same average, whatever its area."""
    divisor = 3600
    pool = AvgPool2d(
        name="pool",
        input="input",
        kernel_size=(5, 5),
        padding=(2, 2, 2, 2),
        counted=(0, 0, 0, 0),
        requantize=Requantize(
            multiplier=np.array([-(-(1 << 26) // divisor)]),
            shift=np.array([26]),
            offset=np.array([1 << 16]),
        ),
        output=ActType(bits=6, signed=True),
    )
    assert pool.divisor((1, 6, 6)) == divisor
    network = IntegerNetwork(input=Tensor((1, 6, 6), SIGNED), layers=(pool,))
    plan = plan_network(network)
    values = np.array([SIGNED.low, SIGNED.high, SIGNED.zero_point])
    images = np.broadcast_to(values[:, None, None, None], (3, 1, 6, 6))
    run = run_frames(Pipeline(plan), np.ascontiguousarray(images), gap=0, stall=0, seed=0)
    assert np.array_equal(run.outputs["pool"], images - SIGNED.zero_point)


@pytest.mark.parametrize(
    ("padding", "value"),
    [
        ((1, 2, 0, 3), None),
        # More than the image on each side, by a value of its own.
        ((7, 6, 8, 9), -11),
        ((-2, 0, -1, -3), None),
        ((-4, 5, 3, -5), 7),
    ],
)
def test_padding_and_cropping(padding: Padding, value: int | None) -> None:
    plan = assert_as_planned(Pad2d(name="pad", input="input", padding=padding, value=value))
    assert plan.resources_of(plan.engines[0]).dsps == 0


@pytest.mark.parametrize("padding", [(1, 2, 3, 0), (0, 4, -1, 2), (-2, 1, 0, -1)])
def test_repeated_borders(padding: Padding) -> None:
    plan = assert_as_planned(Pad2d(name="pad", input="input", padding=padding, edge=True))
    assert plan.resources_of(plan.engines[0]).dsps == 0


@pytest.mark.parametrize("factors", [(2, 2), (1, 3), (4, 1)])
def test_upsampling(factors: tuple[int, int]) -> None:
    plan = assert_as_planned(Upsample(name="up", input="input", factors=factors))
    (engine,) = plan.engines
    assert plan.resources_of(engine).dsps == 0
    assert isinstance(engine, PoolPlan)
    assert engine.compute_cycles == 30 * factors[0] * factors[1] * 4 // engine.lanes
