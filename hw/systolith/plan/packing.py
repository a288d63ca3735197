"""Where each weight lives: from a layer's tensors to the words of each PE's memory."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from systolith.network import BoolArray, Conv2d, IntArray, Linear
from systolith.plan.conv_plan import ConvPlan

__all__ = ["PackedWeights", "Tap", "pack_weights", "row_taps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedWeights:
    """Contents of the PE memories.

    Attributes
    ----------
    weight, index : array of int64, shape (rows, columns, depth, multipliers)
        Word d of PE (r, c): kept weights, and the position of each within its group of n. Unused
        places hold weight 0, index 0.
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

    Groups are dealt to the rows in the order tap by tap, channels innermost: fold f of row r reads
    group ``f * rows + r``. Past the end of the reduction the last is repeated, with weights 0.
    """
    taps = []
    for fold in range(plan.folds):
        number = min(fold * plan.array.rows + row, plan.reduction - 1)
        tap, group = divmod(number, plan.groups)
        taps.append(Tap(*divmod(tap, plan.window.kernel[1]), group // plan.banks))
    return taps


def pack_weights(plan: ConvPlan, layer: Conv2d | Linear) -> PackedWeights:
    """Deal the weights of a layer to the PEs.

    Column fold c, row fold f and slot fold s meet in word ``(c * row_folds + f) * slot_folds + s``.
    """
    array = plan.array
    weight, index = _slots(plan, layer)
    shape = (array.rows, array.columns, plan.steps, array.multipliers)
    packed_weight = np.zeros(shape, dtype=np.int64)
    packed_index = np.zeros(shape, dtype=np.int64)
    folds = product(range(plan.passes), range(plan.folds), range(plan.slot_folds))
    for depth, (column_fold, row_fold, slot_fold) in enumerate(folds):
        filters = slice(column_fold * array.columns, (column_fold + 1) * array.columns)
        groups = slice(row_fold * array.rows, (row_fold + 1) * array.rows)
        slots = slice(slot_fold * array.multipliers, (slot_fold + 1) * array.multipliers)
        for packed, source in ((packed_weight, weight), (packed_index, index)):
            part = source[filters, groups, slots].transpose(1, 0, 2)
            rows, columns, multipliers = part.shape
            packed[:rows, :columns, depth, :multipliers] = part
    return PackedWeights(weight=packed_weight, index=packed_index)


def _slots(plan: ConvPlan, layer: Conv2d | Linear) -> tuple[IntArray, IntArray]:
    """Kept weights and their index in the group, each of shape (F, taps * groups, k)."""
    kernel = plan.window.kernel
    weight = layer.weight.reshape(plan.filters, plan.channels, *kernel)
    mask: BoolArray = np.ones(weight.shape, dtype=np.bool_)
    if layer.mask is not None:
        mask = layer.mask.reshape(weight.shape)
    weight, mask = _by_group(plan, weight), _by_group(plan, mask)
    order = np.argsort(~mask, axis=-1, kind="stable")[..., : plan.slots]
    return np.take_along_axis(weight, order, axis=-1), order


def _by_group(plan: ConvPlan, tensor: np.ndarray) -> np.ndarray:
    """Reorder (F, C, Kh, Kw) to (F, taps * groups, n)."""
    grouped = tensor.reshape(plan.filters, plan.groups, plan.group, plan.window.taps)
    return grouped.transpose(0, 3, 1, 2).reshape(plan.filters, plan.reduction, plan.group)
