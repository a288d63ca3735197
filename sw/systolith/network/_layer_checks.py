"""Checks of layers beyond the types of single fields."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from systolith.network._fields import Fields, as_int, is_name, repr_of
from systolith.network.axes import BoolArray, WeightShape
from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.pattern import Pattern

__all__ = [
    "Padding",
    "Shape",
    "check_kernel",
    "check_weights",
    "check_window",
    "finish",
    "image_problems",
    "is_shape",
    "shape_problems",
    "window_shape",
]

Shape = tuple[int, ...]
Padding = tuple[int, int, int, int]
"""Rows and columns added at top, bottom, left, right."""

MAX_WEIGHT_BITS = 16
MAX_BIAS_BITS = 40
MAX_KERNEL = 65535


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


class Pool(Protocol):
    """Common fields of MaxPool2d and AvgPool2d."""

    @property
    def kernel_size(self) -> tuple[int, int] | None: ...


class Windowed(Protocol):
    """Common fields of Conv2d, MaxPool2d and AvgPool2d."""

    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def padding(self) -> Padding: ...


def finish(fields: Fields, name: object) -> None:
    """Raise an error with all problems, prefixed with the layer's name."""
    fields.finish(f"layer '{name}': " if is_name(name) else f"layer {repr_of(name)}: ")


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


def check_kernel(fields: Fields, layer: Pool) -> bool:
    """Check the kernel_size of a pool that has one."""
    if not fields.integers("kernel_size", 2):
        return False
    if layer.kernel_size is None or all(1 <= size <= MAX_KERNEL for size in layer.kernel_size):
        return True
    fields.problems.append(f"kernel_size must be 1..{MAX_KERNEL}, got {layer.kernel_size}")
    return False


def check_window(fields: Fields, layer: Windowed, kernel: tuple[int, int] | None) -> bool:
    """Check stride, and padding against the kernel if known; return whether both are integers."""
    strided, padded = fields.integers("stride", 2), fields.integers("padding", 4)
    if strided and min(layer.stride) < 1:
        fields.problems.append(f"stride must be at least 1, got {layer.stride}")
    if padded and kernel is not None:
        top, bottom, left, right = layer.padding
        kh, kw = kernel
        if min(layer.padding) < 0 or max(top, bottom) >= kh or max(left, right) >= kw:
            fields.problems.append(
                f"padding must be at least 0 and less than the kernel {kernel}, got {layer.padding}"
            )
    return strided and padded


def shape_problems(names: Sequence[str], shapes: Sequence[Shape]) -> list[str]:
    """Check that each input has a valid shape."""
    if len(shapes) != len(names):
        return [f"reads {len(names)} tensors, got {len(shapes)} shapes"]
    return [
        f"shapes are (C, H, W) or (features,), but '{name}' has {repr_of(shape)}"
        for name, shape in zip(names, shapes, strict=True)
        if not is_shape(shape)
    ]


def is_shape(shape: object) -> bool:
    """Whether a value is a shape (C, H, W) or (features,)."""
    if not isinstance(shape, tuple) or len(shape) not in (1, 3):
        return False
    return all((size := as_int(item)) is not None and size >= 1 for item in shape)


def window_shape(layer: Windowed, kernel: tuple[int, int], shape: Shape) -> tuple[int, int]:
    """Count window positions, vertical and horizontal."""
    top, bottom, left, right = layer.padding
    return (
        (shape[1] + top + bottom - kernel[0]) // layer.stride[0] + 1,
        (shape[2] + left + right - kernel[1]) // layer.stride[1] + 1,
    )


def image_problems(
    layer: Windowed, kernel: tuple[int, int] | None, name: str, shape: Shape
) -> Iterator[str]:
    """Check that the window fits the image `name`; a kernel of None always fits."""
    if len(shape) != 3:
        yield f"needs an image (C, H, W), but '{name}' has shape {shape}"
    elif kernel is not None and min(window_shape(layer, kernel, shape)) < 1:
        yield (
            f"kernel {kernel} does not fit '{name}' of shape {shape} with padding {layer.padding}"
        )
