"""Words of the weight memories: their contents, and their way to the PEs of a tile."""

import numpy as np
from amaranth import Module, Value

from systolith.gateware.delay import delay_payload
from systolith.gateware.parameters import ParameterTable
from systolith.network import IntArray
from systolith.plan import ConvPlan, PackedWeights, WeightTile

__all__ = ["WeightTables", "deal_words", "weight_tables"]

WeightTables = tuple[ParameterTable, ...]
"""Contents of the weight memories, tile by tile."""


def weight_tables(plan: ConvPlan, packed: PackedWeights) -> WeightTables:
    """Encode packed weights as words of memory, a word for each step of a pixel.

    A word has those of the tile's PEs side by side, row by row; the first has the lowest bits.
    """
    width = plan.weight_word_bits
    words = [
        [
            _words(plan, packed.weight[row, column], packed.index[row, column])
            for column in range(plan.array.columns)
        ]
        for row in range(plan.array.rows)
    ]

    def joined(tile: WeightTile) -> tuple[int, ...]:
        parts = [words[row][column] for row, column in _places(tile)]
        return tuple(
            sum(word << number * width for number, word in enumerate(step))
            for step in zip(*parts, strict=True)
        )

    return tuple(
        ParameterTable(
            name=f"weights_{tile.row}_{tile.column}",
            width=tile.rows * tile.columns * width,
            words=joined(tile),
        )
        for tile in plan.weight_tiles
    )


def deal_words(
    m: Module, tile: WeightTile, word: Value, *, latency: int = 0
) -> dict[tuple[int, int], Value]:
    """Cut a word of a tile's memory, and delay each part until its PE needs it.

    Parameters
    ----------
    m : Module
        Module that gets the registers.
    tile : WeightTile
    word : Value
        The words of all PEs, in the cycle in which the first one could take its own.
    latency : int
        Registers of the first PE's word.

    Returns
    -------
    dict of Value
        By row and column of the PE.
    """
    width = len(word) // (tile.rows * tile.columns)
    return {
        (row, column): delay_payload(
            m,
            word.word_select(number, width),
            latency + row - tile.row + column - tile.column,
            f"word_{row}_{column}",
        )
        for number, (row, column) in enumerate(_places(tile))
    }


def _places(tile: WeightTile) -> list[tuple[int, int]]:
    """List rows and columns of a tile's PEs."""
    return [
        (row, column)
        for row in range(tile.row, tile.row + tile.rows)
        for column in range(tile.column, tile.column + tile.columns)
    ]


def _words(plan: ConvPlan, weight: IntArray, index: IntArray) -> tuple[int, ...]:
    """Encode the words of one PE in the layout of :attr:`systolith.gateware.PEShape.weights`."""
    bits = plan.weight_bits
    if plan.single_bits is not None:
        weight = (weight > 0).astype(np.int64)
    lanes = index << (plan.packed * bits)
    if plan.takes_all:
        lanes = np.zeros(weight.shape[:-1], dtype=np.int64)
    for number in range(plan.packed):
        lanes |= (weight[..., number] & ((1 << bits) - 1)) << number * bits
    step = plan.packed * bits + plan.index_bits
    return tuple(sum(lane << m * step for m, lane in enumerate(word)) for word in lanes.tolist())
