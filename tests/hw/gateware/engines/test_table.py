"""Tables in hardware: every input integer, stream rules and documented timing."""

import numpy as np
import pytest
from amaranth.lib import data

from systolith.gateware import Pipeline, TableEngine
from systolith.network import ActType, Flatten, IntegerNetwork, Table, Tensor, forward
from systolith.plan import BUFFER_LATENCY, MemoryKind, PlanError, TablePlan, plan_network
from tests.support.pipeline_bench import PipelineBench
from tests.support.stream_bench import run_stream, simulate

CORNERS = [
    (ActType(bits=8, signed=True, zero_point=-7), ActType(bits=16, signed=True)),
    (ActType(bits=8, signed=False), ActType(bits=8, signed=False, zero_point=200)),
    (ActType(bits=5, signed=True), ActType(bits=1, signed=False)),
    (ActType(bits=1, signed=False, zero_point=1), ActType(bits=8, signed=True)),
]


def _network(act: ActType, output: ActType, channels: int = 4) -> IntegerNetwork:
    rng = np.random.default_rng(act.bits)
    table = Table(
        name="table",
        input="input",
        values=rng.integers(output.low, output.high + 1, 1 << act.bits),
        output=output,
    )
    return IntegerNetwork(input=Tensor((channels, 8, 8), act), layers=(table,))


def _every_integer(network: IntegerNetwork, frames: int = 2) -> np.ndarray:
    act, shape = network.input.type, (frames, *network.input.shape)
    codes = np.arange(act.low, act.high + 1)
    return np.resize(codes, shape)


@pytest.mark.parametrize("reloadable", [False, True])
@pytest.mark.parametrize(("act", "output"), CORNERS)
def test_every_integer_gives_its_value(act: ActType, output: ActType, reloadable: bool) -> None:
    network = _network(act, output)
    images = _every_integer(network)
    plan = plan_network(network, reloadable=reloadable)
    bench = PipelineBench(Pipeline(plan))
    run = bench.run(images)
    assert np.array_equal(run.outputs["table"], forward(network, images)["table"])
    assert run.cycles == plan.cycles(len(images))
    stalled = bench.run(images, gap=0.3, stall=0.5)
    assert np.array_equal(stalled.outputs["table"], run.outputs["table"])


def test_a_transfer_passes_each_cycle_after_the_documented_latency() -> None:
    network = _network(*CORNERS[0])
    (plan,) = plan_network(network, cycles=64).engines
    assert isinstance(plan, TablePlan)
    assert (plan.lanes, plan.cycles) == (4, 64)
    table = network["table"]
    assert isinstance(table, Table)
    run = run_stream(TableEngine(plan, table), list(range(60)), 60)
    assert run.input_cycles == list(range(60)), "from the first cycle after reset"
    assert [
        end - start for start, end in zip(run.input_cycles, run.output_cycles, strict=True)
    ] == [plan.latency + BUFFER_LATENCY] * 60


def test_channels_share_a_memory_where_the_pace_allows() -> None:
    network = _network(*CORNERS[0])
    for cycles, lanes in ((256, 1), (128, 2), (64, 4)):
        (plan,) = plan_network(network, cycles=cycles).engines
        assert isinstance(plan, TablePlan)
        assert plan.lanes == plan.table_memories.count == lanes


@pytest.mark.parametrize("kind", list(MemoryKind))
def test_tables_are_in_the_chosen_memory_and_take_no_multiplier(kind: MemoryKind) -> None:
    plan = plan_network(_network(*CORNERS[1]))
    (engine,) = plan.engines
    assert isinstance(engine, TablePlan)
    resources = plan.resources_of(type(engine)(**{**vars(engine), "table_memory": kind}))
    assert resources.multipliers == resources.dsps == 0
    assert (resources.block_rams > 0) == (kind is MemoryKind.BLOCK)


def test_input_is_taken_until_the_output_is_full() -> None:
    network = _network(*CORNERS[0])
    (plan,) = plan_network(network).engines
    table = network["table"]
    assert isinstance(plan, TablePlan) and isinstance(table, Table)
    dut = TableEngine(plan, table)
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
    assert sum(taken) == plan.fifo_depth
    assert not taken[-1]


def test_a_table_behind_a_flattening_is_refused() -> None:
    act, output = CORNERS[1]
    network = _network(act, output)
    table = network["table"]
    flat = IntegerNetwork(
        input=network.input,
        layers=(
            Flatten(name="flat", input="input"),
            type(table)(name="table", input="flat", values=table.values, output=output),
        ),
    )
    with pytest.raises(PlanError, match="layer 'table': no engine looks up values of flattened"):
        plan_network(flat)
