"""The array of PEs with its weight memories, by itself."""

import random
from dataclasses import replace

import numpy as np
import pytest

from systolith.gateware import WEIGHT_LATENCY, PEArray, PEShape, weight_tables
from systolith.network import Conv2d
from systolith.plan import (
    ArrayShape,
    ConvPlan,
    MemoryKind,
    PackedWeights,
    WeightMemory,
    pack_weights,
    plan_network,
)
from tests.support.networks import convolution
from tests.support.stream_bench import simulate


def _planned(array: ArrayShape, kept: tuple[int, int]) -> tuple[ConvPlan, PackedWeights]:
    network = convolution(channels=12, filters=7, size=(4, 4), kept=kept, seed=2)
    (plan,) = plan_network(network, arrays={"conv": array}).convolutions
    layer = network["conv"]
    assert isinstance(layer, Conv2d)
    return plan, pack_weights(plan, layer)


@pytest.mark.parametrize(
    ("rows", "columns", "multipliers", "kept", "tile"),
    [
        (1, 1, 1, (1, 4), (1, 1)),
        (3, 2, 1, (2, 3), (3, 1)),
        (2, 7, 3, (3, 6), (1, 3)),
        (5, 3, 5, (5, 12), (2, 2)),
        (4, 1, 4, (4, 4), (1, 1)),
        (5, 7, 1, (1, 4), (2, 3)),
    ],
)
def test_sums_come_in_a_wavefront_at_the_documented_time(
    rows: int, columns: int, multipliers: int, kept: tuple[int, int], tile: tuple[int, int]
) -> None:
    plan, packed = _planned(ArrayShape(rows=rows, columns=columns, multipliers=multipliers), kept)
    plan = replace(plan, weight_memory=WeightMemory(MemoryKind.BLOCK, *tile))
    dut, rng = PEArray(plan, weight_tables(plan, packed)), random.Random(rows)
    steps = 12
    acts = [[[rng.choice([0, 255, rng.randrange(256)]) for _ in range(plan.group)]
             for _ in range(rows)] for _ in range(steps)]  # fmt: skip
    words = [rng.randrange(plan.steps) for _ in range(steps)]
    expected = np.array(
        [
            [
                sum(
                    packed.weight[r, c, word, m, 0] * row_acts[r][packed.index[r, c, word, m]]
                    for r in range(rows)
                    for m in range(multipliers)
                )
                for c in range(columns)
            ]
            for row_acts, word in zip(acts, words, strict=True)
        ]
    )
    latency = rows - 1 + plan.pe_latency
    found = np.zeros_like(expected)

    async def bench(ctx):  # type: ignore[no-untyped-def]
        # Step s is at row r in cycle s + r + 2: the addresses go two cycles ahead.
        for cycle in range(steps + latency + columns + 2):
            for row in range(rows):
                if row in plan.tile_rows and 0 <= cycle - row < steps:
                    ctx.set(dut.address[plan.tile_rows.index(row)], words[cycle - row])
                if 0 <= (step := cycle - row - WEIGHT_LATENCY) < steps:
                    ctx.set(dut.acts[row], acts[step][row])
            for column in range(columns):
                step = cycle - WEIGHT_LATENCY - latency - column
                if 0 <= step < steps:
                    found[step, column] = ctx.get(dut.psums[column][0])
            await ctx.tick()

    simulate(dut, bench)
    wrap = 1 << plan.acc_bits
    assert np.array_equal(found % wrap, expected % wrap)


def _alone(plan: ConvPlan) -> ConvPlan:
    """Give each PE a memory of its own."""
    return replace(plan, weight_memory=WeightMemory())


def test_a_tile_has_the_words_of_its_pes_side_by_side() -> None:
    plan, packed = _planned(ArrayShape(rows=3, columns=3, multipliers=2), (3, 6))
    shared = replace(plan, weight_memory=WeightMemory(MemoryKind.BLOCK, 2, 2))
    alone = weight_tables(_alone(plan), packed)
    width = plan.weight_word_bits
    for table, pes in zip(
        weight_tables(shared, packed), [(0, 1, 3, 4), (2, 5), (6, 7), (8,)], strict=True
    ):
        assert table.width == len(pes) * width and table.name == alone[pes[0]].name
        for number, pe in enumerate(pes):
            part = [word >> number * width & ((1 << width) - 1) for word in table.words]
            assert part == list(alone[pe].words)


def test_weight_tables_hold_weight_and_index_of_each_step() -> None:
    plan, packed = _planned(ArrayShape(rows=2, columns=3, multipliers=2), (3, 6))
    layout, table = PEShape.of(plan).weights, weight_tables(_alone(plan), packed)[5]
    words = [layout.from_bits(word) for word in table.words]
    assert [[(kept[m].weight[0], kept[m].index) for m in (0, 1)] for kept in words] == [
        [(packed.weight[1, 2, word, m, 0], packed.index[1, 2, word, m]) for m in (0, 1)]
        for word in range(plan.steps)
    ]
