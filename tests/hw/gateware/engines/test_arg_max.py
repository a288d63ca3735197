"""Classes in hardware: ties, every number of lanes, stream rules and documented timing."""

import numpy as np
import pytest
from amaranth.lib import data

from systolith.gateware import ArgMaxEngine, Pipeline
from systolith.network import ActType, ArgMax, Flatten, IntegerNetwork, Shape, Tensor, forward
from systolith.plan import BUFFER_LATENCY, ArgMaxPlan, PlanError, plan_network
from tests.support.pipeline_bench import PipelineBench, run_frames
from tests.support.stream_bench import run_stream, simulate

SIGNED, NARROW = ActType(bits=8, signed=True, zero_point=-7), ActType(bits=2, signed=False)
CORNERS: list[tuple[Shape, ActType, int]] = [
    ((10,), SIGNED, 1),
    ((10,), SIGNED, 5),
    ((10,), NARROW, 10),
    ((21, 3, 2), NARROW, 1),
    ((21, 3, 2), NARROW, 7),
    ((6, 2, 4), SIGNED, 3),
    ((12, 2, 2), ActType(bits=16, signed=True), 4),
    ((1, 3, 3), SIGNED, 1),
    ((2, 3, 3), ActType(bits=1, signed=False), 2),
]


def _network(shape: Shape, act: ActType) -> IntegerNetwork:
    layer = ArgMax(name="class", input="input", classes=shape[0])
    return IntegerNetwork(input=Tensor(shape, act), layers=(layer,))


@pytest.mark.parametrize(("shape", "act", "lanes"), CORNERS)
def test_classes_and_cycles_are_equal(shape: Shape, act: ActType, lanes: int) -> None:
    network, pixels = _network(shape, act), int(np.prod(shape[1:]))
    rng = np.random.default_rng(lanes)
    images = rng.integers(act.low, act.high + 1, (4, *shape))
    images[0] = rng.choice([act.low, act.high], shape)
    images[1] = act.low
    plan = plan_network(network, cycles=pixels * shape[0] // lanes)
    (engine,) = plan.engines
    assert isinstance(engine, ArgMaxPlan)
    assert (engine.lanes, engine.cycles) == (lanes, pixels * shape[0] // lanes)
    assert plan.steady_interval == plan.cycles_per_frame
    assert plan.resources.multipliers == plan.resources.dsps == plan.resources.block_rams == 0
    wanted = forward(network, images)["class"]
    bench = PipelineBench(Pipeline(plan))
    run = bench.run(images)
    assert np.array_equal(run.outputs["class"], wanted)
    assert run.cycles == plan.cycles(len(images))
    stalled = bench.run(images, gap=0.3, stall=0.5)
    assert np.array_equal(stalled.outputs["class"], wanted)


def test_a_thousand_classes_need_ten_bits() -> None:
    network = _network((1000,), SIGNED)
    assert str(network.tensors["class"]) == "1 uint10"
    images = np.full((3, 1000), SIGNED.low)
    images[0, 999], images[1, 512:] = SIGNED.high, 0
    plan = plan_network(network, cycles=250)
    run = run_frames(Pipeline(plan), images)
    assert run.outputs["class"].ravel().tolist() == [999, 512, 0]
    assert run.cycles == plan.cycles(len(images))


def test_a_transfer_passes_each_cycle_after_the_documented_latency() -> None:
    network = _network((6, 4, 4), NARROW)
    for lanes in (1, 2, 3, 6):
        (plan,) = plan_network(network, cycles=16 * 6 // lanes).engines
        assert isinstance(plan, ArgMaxPlan)
        transfers = plan.transfers_in
        run = run_stream(ArgMaxEngine(plan), [0] * 10 * transfers, 10)
        assert run.input_cycles == list(range(10 * transfers)), "from the first cycle after reset"
        assert run.output_cycles == [
            transfers * number + transfers - 1 + plan.latency + BUFFER_LATENCY
            for number in range(10)
        ]


def test_input_is_taken_until_the_output_is_full() -> None:
    (plan,) = plan_network(_network((6, 4, 4), NARROW), cycles=48).engines
    assert isinstance(plan, ArgMaxPlan)
    dut = ArgMaxEngine(plan)
    taken = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(dut.o.ready, 0)
        ctx.set(dut.i.valid, 1)
        ctx.set(data.View.as_value(dut.i.payload), 1)
        for _ in range(50):
            taken.append(ctx.get(dut.i.ready))
            await ctx.tick()
        assert ctx.get(dut.o.valid), "valid rises without ready"

    simulate(dut, bench)
    assert sum(taken) == (plan.fifo_depth + 1) * plan.transfers_in - 1, "all but a last transfer"
    assert not taken[-1]


def test_a_class_behind_a_flattening_is_refused() -> None:
    layers = (
        Flatten(name="flat", input="input"),
        ArgMax(name="class", input="flat", classes=24),
    )
    network = IntegerNetwork(input=Tensor((6, 2, 2), NARROW), layers=layers)
    with pytest.raises(PlanError, match="layer 'class': no engine finds the greatest of flattened"):
        plan_network(network)
