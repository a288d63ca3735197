"""Packed memories, decoded by the rule that the array follows."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.network import Conv2d
from systolith.plan import ArrayShape, pack_weights, plan_network, row_taps
from tests.support.networks import convolution


@pytest.mark.parametrize("kept", [None, (1, 4), (2, 4), (3, 8), (8, 8)])
@pytest.mark.parametrize(
    "array",
    [
        ArrayShape(rows=1, columns=1),
        ArrayShape(rows=4, columns=3),
        ArrayShape(rows=5, columns=6, multipliers=1),
        ArrayShape(rows=9, columns=5),
    ],
)
def test_every_weight_is_met_by_its_activation_exactly_once(
    kept: tuple[int, int] | None, array: ArrayShape
) -> None:
    network = convolution(channels=8, filters=6, size=(5, 5), kept=kept, seed=3)
    for multipliers in {1, (kept or (1, 1))[0], 2 if kept and kept[0] > 1 else 1}:
        shape = ArrayShape(rows=array.rows, columns=array.columns, multipliers=multipliers)
        (plan,) = plan_network(network, arrays={"conv": shape}).convolutions
        layer = network["conv"]
        assert isinstance(layer, Conv2d)
        packed = pack_weights(plan, layer)
        rebuilt = np.zeros(layer.weight.shape, dtype=np.int64)
        for row in range(shape.rows):
            taps = row_taps(plan, row)
            for column in range(shape.columns):
                for depth in range(plan.steps):
                    fold = depth // plan.slot_folds % plan.folds
                    f = depth // plan.pass_cycles * shape.columns + column
                    tap = taps[fold]
                    group = tap.word * plan.banks + row % plan.banks
                    for slot in range(multipliers):
                        weight = packed.weight[row, column, depth, slot, 0]
                        channel = group * plan.group + packed.index[row, column, depth, slot]
                        if weight:
                            rebuilt[f, channel, tap.row, tap.column] += weight
        assert np.array_equal(rebuilt, layer.weight)


def test_indices_point_into_the_group() -> None:
    network = convolution(channels=8, filters=4, size=(5, 5), kept=(2, 8))
    (plan,) = plan_network(network, multipliers=6).convolutions
    layer = network["conv"]
    assert isinstance(layer, Conv2d)
    index = pack_weights(plan, layer).index
    assert 0 <= index.min() <= index.max() < 8
    assert plan.index_bits == 3


def test_rows_beyond_the_reduction_read_again_what_they_read_before() -> None:
    network = convolution(channels=8, filters=4, size=(5, 5), kept=(2, 4))
    (plan,) = plan_network(network, arrays={"conv": ArrayShape(rows=7, columns=4)}).convolutions
    assert (plan.reads.length, plan.folds) == (18, 3)
    last = row_taps(plan, 3)[-1]
    assert (last.row, last.column, last.word) == (2, 2, 1)
    for row in (4, 5, 6):
        before, idle = row_taps(plan, row)[-2:]
        assert idle == replace(before, idle=True)
