"""PEs that share weight memories, and rows that share a reader, against the golden model."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.emit import StreamPort
from systolith.gateware import Pipeline
from systolith.network import Conv2d, IntegerNetwork, Pattern, PerNeuron, forward
from systolith.plan import (
    ArrayShape,
    ConvPlan,
    MemoryKind,
    NetworkPlan,
    StageGraph,
    WeightMemory,
    plan_network,
)
from tests.support.networks import convolution
from tests.support.random_networks import random_images
from tests.support.slow import first_few
from tests.support.stream_bench import StreamBench

FRAMES = 2


def _with(plan: NetworkPlan, engine: ConvPlan) -> NetworkPlan:
    """Put an engine in the place of the only one, with an input stream of its width."""
    return replace(plan, graph=StageGraph.chain([engine]))


def _equal(plan: NetworkPlan) -> bool:
    """Whether values and cycles are the expected ones, without stalls, and values with them."""
    (engine,) = plan.convolutions
    source = StreamPort(layer="", tensor=plan.network.input, lanes=engine.lanes_in, signal="i")
    sink = StreamPort(layer="", tensor=engine.output, lanes=engine.lanes_out, signal="o")
    images = random_images(plan.network, FRAMES, 1)
    expected = forward(plan.network, images)[plan.network.outputs[0]].reshape(FRAMES, -1)
    dut = Pipeline(plan)
    bench = StreamBench(dut, [dut.o])
    inputs = source.pack(source.to_transfers(images))
    for stall in (0.0, 0.4):
        count = FRAMES * sink.transfers_per_frame
        (run,) = bench.run(inputs, [count], gap=stall, stall=stall)
        values = sink.from_transfers(sink.unpack(run.outputs)).reshape(FRAMES, -1)
        if not np.array_equal(values, expected):
            return False
        if stall == 0 and run.output_cycles[-1] - run.input_cycles[0] + 1 != plan.cycles(FRAMES):
            return False
    return True


@pytest.mark.parametrize(
    ("per_transfer", "kept", "tile"),
    first_few([(2, 1, (2, 2)), (1, 2, (1, 4)), (3, 0, (4, 1)), (6, 0, (1, 1))], 2),
)
def test_rows_of_a_reader_get_their_own_channels(
    per_transfer: int, kept: int, tile: tuple[int, int]
) -> None:
    # Four activations of 8 bits fit a word: of six banks, three rows share one.
    network = convolution(channels=6, filters=5, size=(4, 3), seed=3)
    plan = plan_network(network, arrays={"conv": ArrayShape(rows=12, columns=5)})
    (engine,) = plan.convolutions
    engine = replace(
        engine,
        groups_per_transfer=per_transfer,
        weight_memory=WeightMemory(MemoryKind.BLOCK, *tile),
    )
    assert (engine.rows_per_reader, engine.readers, engine.kept_transfers) == (3, 4, kept)
    assert _equal(_with(plan, engine))


def _per_neuron() -> IntegerNetwork:
    network = convolution(channels=4, filters=6, size=(4, 3), seed=2)
    (layer,) = network.layers
    assert isinstance(layer, Conv2d)
    pattern = Pattern(select=PerNeuron(7))
    mask = pattern.best_mask(np.abs(layer.weight))
    layer = replace(layer, pattern=pattern, mask=mask, weight=layer.weight * mask)
    return replace(network, layers=(layer,))


@pytest.mark.parametrize(("rows", "columns"), first_few([(2, 2), (1, 3), (3, 1)], 1))
def test_pes_that_gather_share_memories_too(rows: int, columns: int) -> None:
    plan = plan_network(_per_neuron(), arrays={"conv": ArrayShape(rows=3, columns=3)})
    (engine,) = plan.convolutions
    memory = WeightMemory(MemoryKind.DISTRIBUTED, rows, columns)
    assert _equal(_with(plan, replace(engine, weight_memory=memory)))


def test_shared_memories_hold_the_same_bits() -> None:
    network = convolution(channels=6, filters=5, size=(4, 3), seed=3)
    plan = plan_network(network, arrays={"conv": ArrayShape(rows=12, columns=5)})
    (engine,) = plan.convolutions
    shared = replace(engine, weight_memory=WeightMemory(MemoryKind.BLOCK, 1, 2))
    alone = replace(engine, weight_memory=WeightMemory())
    assert len(shared.weight_tiles) == 36 and len(alone.weight_tiles) == 60
    assert sum(memory.bits for memory in shared.weight_memories) == sum(
        memory.bits for memory in alone.weight_memories
    )
