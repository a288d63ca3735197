"""Weights and biases: checks, and exact sums."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from systolith.network._fields import Fields
from systolith.network.axes import BoolArray, WeightShape
from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.pattern import Pattern

__all__ = ["MAX_WEIGHT_BITS", "check_weights", "exact_matmul", "weighted_range"]

MAX_WEIGHT_BITS = 16
MAX_BIAS_BITS = 40


class Weighted(Protocol):
    """Common fields of Conv2d and Linear."""

    @property
    def weight(self) -> IntArray: ...
    @property
    def bias(self) -> IntArray: ...
    @property
    def mask(self) -> BoolArray | None: ...
    @property
    def weight_bits(self) -> int: ...
    @property
    def pattern(self) -> Pattern: ...
    @property
    def requantize(self) -> Requantize: ...
    @property
    def output(self) -> ActType: ...
    @property
    def weight_shape(self) -> WeightShape: ...


def check_weights(fields: Fields, layer: Weighted, rank: int) -> bool:
    """Check the common fields of Conv2d and Linear; return whether the weights are usable."""
    typed = {
        "requantize": fields.instance("requantize", Requantize),
        "output": fields.instance("output", ActType),
        "pattern": fields.instance("pattern", Pattern),
        "weight_bits": fields.integer("weight_bits"),
        "bias": fields.int_array("bias"),
        "mask": layer.mask is None or fields.bool_array("mask"),
        "weight": fields.int_array("weight") and _has_rank(fields, layer.weight, rank),
    }
    if typed["weight_bits"] and not 1 <= layer.weight_bits <= MAX_WEIGHT_BITS:
        fields.problems.append(f"weight_bits must be 1..{MAX_WEIGHT_BITS}, got {layer.weight_bits}")
        typed["weight_bits"] = False
    if not typed["weight"]:
        return False
    shape = layer.weight_shape
    if typed["bias"]:
        fields.problems += _bias_problems(layer.bias, shape[0])
    if typed["requantize"] and typed["output"]:
        fields.problems += layer.requantize.problems(shape[0], layer.output)
    if typed["mask"] and layer.mask is not None and layer.mask.shape != layer.weight.shape:
        fields.problems.append(
            f"mask must have the shape of weight {layer.weight.shape}, got {layer.mask.shape}"
        )
        typed["mask"] = False
    if typed["weight_bits"]:
        mask = layer.mask if typed["mask"] else None
        fields.problems += _weight_problems(layer.weight, mask, layer.weight_bits)
    if typed["pattern"]:
        fields.problems += _pattern_problems(layer, typed["mask"])
    return True


def _has_rank(fields: Fields, weight: IntArray, rank: int) -> bool:
    if weight.ndim == rank and weight.size:
        return True
    axes = "(F, C, Kh, Kw)" if rank == 4 else "(O, I)"
    fields.problems.append(f"weight must have shape {axes}, none 0, got {weight.shape}")
    return False


def _bias_problems(bias: IntArray, filters: int) -> Iterator[str]:
    if bias.shape != (filters,):
        yield f"bias must have shape ({filters},), got {bias.shape}"
        return
    limit = 1 << (MAX_BIAS_BITS - 1)
    least, most = int(bias.min()), int(bias.max())
    if least < -limit or most >= limit:
        yield f"bias must fit {MAX_BIAS_BITS} bits signed, got {least}..{most}"


def _weight_problems(weight: IntArray, mask: BoolArray | None, bits: int) -> Iterator[str]:
    if bits == 1:
        kept = weight if mask is None else weight[mask]
        if not ((kept == 1) | (kept == -1)).all():
            yield "1-bit weights must be -1 or +1 wherever they are kept"
        return
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    least, most = weight.min(), weight.max()
    if least < low or most > high:
        yield f"{bits}-bit weights must lie in {low}..{high}, got {least}..{most}"


def _pattern_problems(layer: Weighted, mask_is_usable: bool) -> Iterator[str]:
    shape, mask = layer.weight_shape, layer.mask
    if mask is None:
        yield from layer.pattern.problems(shape)
        if not layer.pattern.is_dense:
            yield f"the pattern {layer.pattern} needs a mask"
    elif mask_is_usable:
        yield from layer.pattern.violations(mask.reshape(shape))
        if pruned := np.count_nonzero(layer.weight[~mask]):
            yield f"weights must be 0 where the mask is False, but {pruned} are not"
    else:
        yield from layer.pattern.problems(shape)


def exact_matmul(a: NDArray[np.float64], weight: IntArray) -> IntArray:
    """Multiply by transposed weights in float64, where BLAS is much faster than with integers.

    The result is exact: in any order of addition, every partial sum is an integer of at most 47
    bits, which the network has checked, and float64 holds 53 bits.
    """
    return np.asarray((a @ weight.T.astype(np.float64)).astype(np.int64))


def weighted_range(
    layer: Weighted, act: ActType, windows: list[tuple[slice, slice]]
) -> tuple[int, int]:
    """Compute the range of the partial sums over all filters and `windows`."""
    low, high = act.low - act.zero_point, act.high - act.zero_point
    weight = layer.weight.reshape(layer.weight_shape)
    positive = np.maximum(weight, 0).sum(axis=1)
    negative = np.minimum(weight, 0).sum(axis=1)
    least, most = 0, 0
    for rows, columns in windows:
        up = positive[:, rows, columns].sum(axis=(1, 2))
        down = negative[:, rows, columns].sum(axis=(1, 2))
        least = min(least, int((up * low + down * high + np.minimum(layer.bias, 0)).min()))
        most = max(most, int((up * high + down * low + np.maximum(layer.bias, 0)).max()))
    return least, most
