"""Thresholds in hardware: every sum, every engine that requantizes, and what a load may change."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.emit import load_bytes
from systolith.gateware import Pipeline, ThresholdLanes, threshold_tables
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntArray,
    IntegerNetwork,
    Linear,
    Requantize,
    Tensor,
    forward,
    requantize,
)
from systolith.plan import MemoryKind, ThresholdSearch, plan_network, threshold_latency
from tests.support.pipeline_bench import run_frames
from tests.support.stream_bench import simulate

U8 = ActType(bits=8, signed=False)
SUM_BITS, CHANNELS, LANES = 6, 5, 2
SUMS = np.arange(-(1 << SUM_BITS - 1), 1 << SUM_BITS - 1)


def _results(dut: ThresholdLanes, transfers: int) -> tuple[list[list[int]], int]:
    """Send every sum to every lane in every transfer; give results by transfer, and the latency."""
    results: list[list[int]] = []
    first = -1
    schedule = [(int(acc), number) for acc in SUMS for number in range(transfers)]

    async def bench(ctx):  # type: ignore[no-untyped-def]
        nonlocal first
        for cycle in range(len(schedule) + 40):
            number = schedule[cycle][1] if cycle < len(schedule) else 0
            ctx.set(dut.transfer, number)
            given = 0 < cycle <= len(schedule)
            ctx.set(dut.valid, given)
            if given:
                for lane in range(dut.lanes):
                    ctx.set(dut.i[lane], schedule[cycle - 1][0])
            if ctx.get(dut.o_valid):
                first = cycle if first < 0 else first
                results.append([ctx.get(dut.o[lane]) for lane in range(dut.lanes)])
            await ctx.tick()

    simulate(dut, bench)
    return results, first - 1


@pytest.mark.parametrize(("levels", "signed"), [(1, False), (3, True), (6, False)])
def test_every_sum_gives_its_count(levels: int, signed: bool) -> None:
    rng = np.random.default_rng(levels)
    # Some thresholds lie outside all sums, and some are equal.
    thresholds = np.sort(rng.integers(-40, 40, (CHANNELS, levels)), axis=1)
    spec, biases = Requantize.by_thresholds(thresholds), rng.integers(-9, 10, CHANNELS)
    output = ActType(bits=levels.bit_length() + signed, signed=signed)
    tables = threshold_tables(SUM_BITS, levels.bit_length(), biases, spec, LANES)
    dut = ThresholdLanes(SUM_BITS, levels.bit_length(), output, tables)
    transfers = -(-CHANNELS // LANES)
    results, latency = _results(dut, transfers)
    assert latency == threshold_latency(levels.bit_length())
    found = np.array(results).reshape(len(SUMS), transfers * LANES)[:, :CHANNELS]
    assert np.array_equal(found, requantize(SUMS[:, None] + biases, spec, output))


def _thresholds(rng: np.random.Generator, channels: int, levels: int, reach: int) -> Requantize:
    return Requantize.by_thresholds(
        np.sort(rng.integers(-reach, reach, (channels, levels)), axis=1)
    )


def _network(seed: int = 0) -> tuple[IntegerNetwork, IntArray]:
    """A convolution, an addition, a pool and a linear layer that all count thresholds."""
    rng = np.random.default_rng(seed)
    act = ActType(bits=3, signed=False, zero_point=2)
    signed = ActType(bits=2, signed=True)
    bit = ActType(bits=1, signed=False)
    layers = (
        Conv2d(
            name="conv",
            input="input",
            weight=rng.integers(-8, 8, (6, 3, 3, 3)),
            bias=rng.integers(-40, 40, 6),
            weight_bits=4,
            padding=(1, 1, 1, 1),
            requantize=_thresholds(rng, 6, 7, 90),
            output=act,
        ),
        Conv2d(
            name="other",
            input="conv",
            weight=rng.choice([-1, 1], (6, 6, 1, 1)),
            bias=np.zeros(6, int),
            weight_bits=1,
            requantize=_thresholds(rng, 1, 3, 8),
            output=signed,
        ),
        Add(
            name="sum",
            inputs=("conv", "other"),
            multipliers=(3, 5),
            requantize=_thresholds(rng, 6, 1, 9),
            output=bit,
        ),
        AvgPool2d(
            name="mean",
            input="sum",
            kernel_size=(2, 2),
            stride=(2, 2),
            requantize=_thresholds(rng, 6, 5, 4),
            output=act,
        ),
        AvgPool2d(name="all", input="mean", requantize=_thresholds(rng, 6, 130, 40), output=U8),
        Linear(
            name="fc",
            input="flat",
            weight=rng.integers(-2, 2, (4, 6)),
            bias=np.zeros(4, int),
            weight_bits=2,
            requantize=_thresholds(rng, 4, 255, 900),
            output=U8,
        ),
    )
    layers = (*layers[:-1], Flatten(name="flat", input="all"), layers[-1])
    network = IntegerNetwork(input=Tensor((3, 6, 6), ActType(bits=4, signed=True)), layers=layers)
    return network, rng.integers(-8, 8, (2, 3, 6, 6))


@pytest.mark.parametrize("reloadable", [False, True])
def test_every_engine_counts_thresholds(reloadable: bool) -> None:
    network, images = _network()
    plan = plan_network(network, reloadable=reloadable)
    stalls = {"gap": 0.3, "stall": 0.5} if reloadable else {}
    run = run_frames(Pipeline(plan), images, **stalls)
    assert np.array_equal(run.outputs["fc"], forward(network, images)["fc"])
    if not reloadable:
        assert run.cycles == plan.cycles(len(images))


def test_thresholds_take_no_multiplier_and_block_memory_only_where_there_are_many() -> None:
    network, _ = _network()
    plan = plan_network(network)
    for engine in plan.engines:
        resources = plan.resources_of(engine)
        requantizes = getattr(engine, "threshold_bits", 0)
        if requantizes and engine.name in ("mean", "all"):
            assert resources.dsps == 0
    kinds = [kind for _, kind in ThresholdSearch(bits=8, lanes=1, transfers=2, sum_bits=9).memories]
    assert kinds == [MemoryKind.DISTRIBUTED] * 7 + [MemoryKind.BLOCK]


def test_other_thresholds_can_be_loaded_but_not_more() -> None:
    network, _ = _network()
    plan = plan_network(network, reloadable=True)
    other, _ = _network(seed=1)
    assert len(load_bytes(plan, other)) == len(load_bytes(plan, network))
    fc = other["fc"]
    assert isinstance(fc, Linear)
    scaled = replace(fc, requantize=Requantize(multiplier=np.ones(1, int), shift=np.zeros(1, int)))
    wrong = replace(other, layers=(*other.layers[:-1], scaled))
    with pytest.raises(ValueError, match=r"layer 'fc': requantize of the design is thresholds"):
        load_bytes(plan, wrong)
