"""Multipliers of 31 bits, two roundings, additions of rounded inputs, in the simulator."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from systolith.gateware import Pipeline
from systolith.gateware.requantizing.twice_rounded import round_once, round_shifted
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Linear,
    Requantize,
    Rounding,
    Tensor,
    forward,
)
from systolith.network.requantizing import shift_right
from systolith.plan import plan_network
from tests.support.pipeline_bench import PipelineBench
from tests.support.random_networks import random_images
from tests.support.slow import first_few

FRAMES = 3
INT8 = ActType(bits=8, signed=True, zero_point=-7)


def _twice(rng: np.random.Generator, channels: int, shift: int) -> Requantize:
    """Scales of a convolution in a TFLite file; some channels have no second shift."""
    return Requantize(
        multiplier=rng.integers(1 << 30, 1 << 31, channels),
        shift=rng.choice([30, 31, 32, shift, shift + 1], channels),
        rounding=Rounding.TFLITE,
    )


def _residual(seed: int) -> IntegerNetwork:
    rng = np.random.default_rng(seed)

    def conv(name: str, source: str, channels: int, filters: int, groups: int = 1) -> Conv2d:
        return Conv2d(
            name=name,
            input=source,
            weight=rng.integers(-127, 128, (filters, channels // groups, 3, 3)),
            bias=rng.integers(-3000, 3000, filters),
            requantize=_twice(rng, filters, 38),
            output=INT8,
            padding=(1, 1, 1, 1),
            groups=groups,
        )

    first, second = rng.integers(1 << 30, 1 << 31, 2).tolist()
    return IntegerNetwork(
        input=Tensor((2, 4, 4), INT8),
        layers=(
            conv("conv1", "input", 2, 4),
            conv("depthwise", "conv1", 4, 4, groups=4),
            Add(
                name="add",
                inputs=("conv1", "depthwise"),
                multipliers=(1 << 30, second) if seed % 2 else (first, second),
                left_shift=20,
                shifts=(31, 31 + seed % 3),
                requantize=Requantize(
                    multiplier=np.array([first]), shift=np.array([50]), rounding=Rounding.TFLITE
                ),
                output=INT8,
            ),
            AvgPool2d(name="pool", input="add", requantize=_twice(rng, 1, 35), output=INT8),
            Flatten(name="flat", input="pool"),
            Linear(
                name="fc",
                input="flat",
                weight=rng.integers(-127, 128, (3, 4)),
                bias=rng.integers(-3000, 3000, 3),
                requantize=Requantize(multiplier=np.array([second]), shift=np.array([38])),
                output=INT8,
            ),
        ),
    )


@pytest.mark.parametrize("seed", first_few(range(3), 2))
@pytest.mark.parametrize("reloadable", [False, True])
def test_values_and_cycles(seed: int, reloadable: bool) -> None:
    network = _residual(seed)
    plan = plan_network(network, multipliers=20, reloadable=reloadable)
    images = random_images(network, FRAMES, seed)
    bench = PipelineBench(Pipeline(plan))
    run = bench.run(images, seed=seed)
    stalled = bench.run(images, gap=0.3, stall=0.3, seed=seed)
    for name, expected in forward(network, images).items():
        assert np.array_equal(run.outputs[name], expected)
        assert np.array_equal(stalled.outputs[name], expected)
    assert run.cycles == plan.cycles(FRAMES)
    assert run.last_output[0] - run.first_input + 1 == plan.latency_cycles


class _Shifter(wiring.Component):
    """Both roundings of a value, by a constant shift and by a signal."""

    def __init__(self, width: int, shift: int, rounding: Rounding) -> None:
        self.shift, self.rounding = shift, rounding
        super().__init__(
            {
                "value": In(signed(width)),
                "by": In(6),
                "constant": Out(signed(64)),
                "variable": Out(signed(66)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        twice = self.rounding is Rounding.TFLITE
        value: Signal = self.value
        once = round_once(value, self.shift) if twice else value
        m.d.comb += self.constant.eq(round_shifted(once, self.shift, self.rounding))
        m.d.comb += self.variable.eq(round_once(value, self.by))
        return m


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("shift", [0, 1, 11, 30, 31, 32, 33, 45, 62])
def test_rounding_by_constants(rounding: Rounding, shift: int) -> None:
    half = 1 << 30
    ties = [(2 * k + 1) << max(shift - 1, 0) for k in range(-3, 3)]
    values = [
        base + beside
        for base in (0, half, -half, 2 * half, -2 * half, -3 * half, *ties)
        for beside in (-1, 0, 1)
    ]
    values = [value for value in values if -(1 << 62) <= value < 1 << 62]
    dut = _Shifter(63, shift, rounding)
    expected = shift_right(np.array(values), np.array(shift), rounding).tolist()
    up = shift_right(np.array(values), np.array(shift), Rounding.TFLITE).tolist()

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(dut.by, shift)
        for value, wanted, twice in zip(values, expected, up, strict=True):
            ctx.set(dut.value, value)
            assert ctx.get(dut.constant) == wanted
            once = np.array(ctx.get(dut.variable))
            assert shift_right(once, np.array(shift), Rounding.HALF_UP) == twice

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
