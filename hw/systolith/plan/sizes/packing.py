"""Where each weight is stored: from a layer's tensors to the words of each PE's memory."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from systolith.network import BoolArray, Conv2d, IntArray, Linear
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.sizes.array_shape import Feed

__all__ = ["PackedWeights", "Tap", "pack_weights", "row_taps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedWeights:
    """Contents of the weight memories of an array.

    Attributes
    ----------
    weight : array of int64, shape (rows, columns, depth, multipliers, packed)
        Word d of PE (r, c): kept weights of the filters that share a multiplier.
    index : array of int64, shape (rows, columns, depth, multipliers)
        Position of each weight's activation, see :attr:`ConvPlan.index_widths`. Unused places hold
        weight 0 and index 0.
    """

    weight: IntArray
    index: IntArray

    @classmethod
    def empty(cls, plan: ConvPlan) -> "PackedWeights":
        """Make memories with weight 0 and index 0 everywhere."""
        array = plan.array
        shape = (array.rows, array.columns, plan.steps, array.multipliers)
        return cls(
            weight=np.zeros((*shape, plan.packed), dtype=np.int64),
            index=np.zeros(shape, dtype=np.int64),
        )


@dataclass(frozen=True, slots=True)
class Tap:
    """What a row reads in one fold: kernel position, and word of the pixel in the row's bank.

    An idle tap repeats another one because the row has no part of the sum in this fold.
    """

    row: int
    column: int
    word: int
    idle: bool = False


def row_taps(plan: ConvPlan, row: int) -> list[Tap]:
    """List what array row `row` reads, fold by fold.

    Where the row's part of the reduction is shorter than the others, its last tap is repeated with
    weights 0.
    """
    width = plan.window.kernel[1]
    parts = plan.reads.parts(plan.array.rows, row)
    used = len(parts)
    repeated = parts[-1] if parts else (0, row % plan.banks)
    parts = [*parts, *[repeated] * (plan.folds - used)]
    return [
        Tap(*divmod(tap, width), group // plan.banks, idle=fold >= used)
        for fold, (tap, group) in enumerate(parts)
    ]


def pack_weights(plan: ConvPlan, layer: Conv2d | Linear) -> PackedWeights:
    """Deal the weights of a layer to the PEs.

    Column fold c, row fold f and slot fold s meet in word ``(c * row_folds + f) * slot_folds + s``.
    """
    return _pack_gathered(plan, layer) if plan.feed is Feed.GATHERED else _pack_rows(plan, layer)


def _pack_rows(plan: ConvPlan, layer: Conv2d | Linear) -> PackedWeights:
    """Deal weights so that they meet the groups that their row reads."""
    array, packed = plan.array, PackedWeights.empty(plan)
    weight, index = _slots(plan, layer)
    for row in range(array.rows):
        parts = plan.reads.parts(array.rows, row)
        folds = product(range(plan.passes), range(plan.folds), range(plan.slot_folds))
        for depth, (column_fold, fold, slot_fold) in enumerate(folds):
            if fold >= len(parts):
                continue
            tap, group = parts[fold]
            filters = slice(column_fold * plan.width, (column_fold + 1) * plan.width)
            slots = slice(slot_fold * array.multipliers, (slot_fold + 1) * array.multipliers)
            kept = weight[filters, tap, group, slots]
            number, multipliers = kept.shape
            part = np.zeros((plan.width, multipliers), dtype=np.int64)
            part[:number] = kept
            by_column = part.reshape(array.columns, plan.packed, multipliers).swapaxes(1, 2)
            packed.weight[row, :, depth, :multipliers] = by_column
            chosen = index[filters, tap, group, slots][:: plan.packed]
            packed.index[row, : len(chosen), depth, :multipliers] = chosen
    return packed


def _slots(plan: ConvPlan, layer: Conv2d | Linear) -> tuple[IntArray, IntArray]:
    """Kept weights and their index in the group, each of shape (F, taps, groups, k)."""
    shape = (plan.filters, plan.reads.groups, -1, plan.window.taps)
    weight = layer.weight.reshape(shape).transpose(0, 3, 1, 2)
    mask: BoolArray = np.ones(weight.shape, dtype=np.bool_)
    if layer.mask is not None:
        mask = layer.mask.reshape(shape).transpose(0, 3, 1, 2)
    order = np.argsort(~mask, axis=-1, kind="stable")[..., : plan.slots]
    return np.take_along_axis(weight, order, axis=-1), order


def _pack_gathered(plan: ConvPlan, layer: Conv2d | Linear) -> PackedWeights:
    """Deal weight j of a filter to row ``j % rows``, in fold ``j // rows``."""
    array, kept = plan.array, plan.reads.length
    weight = layer.weight.reshape(plan.filters, -1)
    assert layer.mask is not None
    position = np.argsort(~layer.mask.reshape(weight.shape), axis=1, kind="stable")[:, :kept]
    channel, tap = np.divmod(position, plan.window.taps)
    word, lane = np.divmod(channel, plan.group)
    lane_bits, word_bits, _ = plan.index_widths
    index = lane | word << lane_bits | tap << (lane_bits + word_bits)
    values = np.take_along_axis(weight, position, axis=1)
    packed = PackedWeights.empty(plan)
    for number, j in product(range(plan.filters), range(kept)):
        (column_fold, column), (fold, row) = divmod(number, array.columns), divmod(j, array.rows)
        place = row, column, column_fold * plan.folds + fold, 0
        packed.weight[place] = values[number, j]
        packed.index[place] = index[number, j]
    return packed
