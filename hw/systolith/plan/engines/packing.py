"""Where each weight lives: from a layer's tensors to the words of each PE's memory."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from systolith.network import BoolArray, Conv2d, IntArray, Linear
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.gather_plan import GatherPlan

__all__ = ["PackedWeights", "Tap", "pack_weights", "row_taps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedWeights:
    """Contents of the PE memories.

    Attributes
    ----------
    weight : array of int64, shape (rows, columns, depth, multipliers, packed)
        Word d of PE (r, c): kept weights of the filters that share a multiplier.
    index : array of int64, shape (rows, columns, depth, multipliers)
        Position of each within its group of n. Unused places hold weight 0, index 0.
    """

    weight: IntArray
    index: IntArray


@dataclass(frozen=True, slots=True)
class Tap:
    """What a row reads in one fold: kernel position, and word of the pixel in the row's bank."""

    row: int
    column: int
    word: int


def row_taps(plan: ConvPlan, row: int) -> list[Tap]:
    """List what array row `row` reads, fold by fold.

    Past the end of its part of the reduction the last is repeated, with weights 0.
    """
    width = plan.window.kernel[1]
    parts = plan.reads.parts(plan.array.rows, row) or [(0, row % plan.banks)]
    parts += parts[-1:] * (plan.folds - len(parts))
    return [Tap(*divmod(tap, width), group // plan.banks) for tap, group in parts]


def pack_weights(plan: ConvPlan, layer: Conv2d | Linear) -> PackedWeights:
    """Deal the weights of a layer to the PEs.

    Column fold c, row fold f and slot fold s meet in word ``(c * row_folds + f) * slot_folds + s``.
    """
    if isinstance(plan, GatherPlan):
        return _pack_gathered(plan, layer)
    array = plan.array
    weight, index = _slots(plan, layer)
    shape = (array.rows, array.columns, plan.steps, array.multipliers)
    packed_weight = np.zeros((*shape, plan.packed), dtype=np.int64)
    packed_index = np.zeros(shape, dtype=np.int64)
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
            packed_weight[row, :, depth, :multipliers] = by_column
            chosen = index[filters, tap, group, slots][:: plan.packed]
            packed_index[row, : len(chosen), depth, :multipliers] = chosen
    return PackedWeights(weight=packed_weight, index=packed_index)


def _slots(plan: ConvPlan, layer: Conv2d | Linear) -> tuple[IntArray, IntArray]:
    """Kept weights and their index in the group, each of shape (F, taps, groups, k)."""
    shape = (plan.filters, plan.groups, -1, plan.window.taps)
    weight = layer.weight.reshape(shape).transpose(0, 3, 1, 2)
    mask: BoolArray = np.ones(weight.shape, dtype=np.bool_)
    if layer.mask is not None:
        mask = layer.mask.reshape(shape).transpose(0, 3, 1, 2)
    order = np.argsort(~mask, axis=-1, kind="stable")[..., : plan.slots]
    return np.take_along_axis(weight, order, axis=-1), order


def _pack_gathered(plan: GatherPlan, layer: Conv2d | Linear) -> PackedWeights:
    """Weight j of a filter goes to row j modulo the rows, in fold j divided by them."""
    array, kept = plan.array, plan.reads.length
    weight = layer.weight.reshape(plan.filters, -1)
    assert layer.mask is not None
    position = np.argsort(~layer.mask.reshape(weight.shape), axis=1, kind="stable")[:, :kept]
    channel, tap = np.divmod(position, plan.window.taps)
    word, lane = np.divmod(channel, plan.group)
    lane_bits, word_bits, _ = plan.index_widths
    index = lane | word << lane_bits | tap << (lane_bits + word_bits)
    values = np.take_along_axis(weight, position, axis=1)
    shape = (array.rows, array.columns, plan.steps, array.multipliers)
    packed = PackedWeights(weight=np.zeros((*shape, 1), np.int64), index=np.zeros(shape, np.int64))
    for number, j in product(range(plan.filters), range(kept)):
        (column_fold, column), (fold, row) = divmod(number, array.columns), divmod(j, array.rows)
        place = row, column, column_fold * plan.folds + fold, 0
        packed.weight[place] = values[number, j]
        packed.index[place] = index[number, j]
    return packed
