"""The layers of an integer network: frozen data that checks itself.

A layer names its inputs; shapes and types of those come from the network. Images are ``(C, H, W)``,
vectors ``(features,)``; the batch axis is never part of a shape here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from systolith.network.errors import raise_if_any
from systolith.network.numbers import ActType, IntArray, Requantize, frozen_ints
from systolith.network.pattern import BoolArray, Pattern, WeightShape

__all__ = [
    "Add",
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Padding",
    "Shape",
]

Shape = tuple[int, ...]
Padding = tuple[int, int, int, int]
"""Rows and columns added at top, bottom, left, right."""

MAX_WEIGHT_BITS = 16
MAX_BIAS_BITS = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conv2d:
    """2-D convolution (cross-correlation, as in PyTorch) with its activation folded in.

    ``acc[f, y, x] = bias[f] + sum_cij weight[f, c, i, j] * centred[c, y*sh+i-top, x*sw+j-left]``
    with ``centred = in - zero_point`` and 0 in the padding. Then :class:`Requantize`.

    Parameters
    ----------
    name, input : str
        Unique name; the layer (or ``"input"``) that is read.
    weight : array of int, shape (F, C/groups, Kh, Kw)
        In ``-2**(b-1) .. 2**(b-1)-1`` for b = `weight_bits`; for one bit -1 or +1, and 0 where
        masked.
    bias : array of int, shape (F,)
        At accumulator scale, 40 bits signed.
    output : ActType
        Type after requantization.
    weight_bits : int
        1..16.
    stride : pair of int
        Vertical, horizontal.
    padding : Padding
        Smaller than the kernel on each side.
    groups : int
        1, or the number of input channels (depthwise).
    pattern : Pattern
        Which weights are kept; `mask` must conform to it exactly.
    mask : array of bool, shape of weight, optional
        True keeps. Required unless the pattern is dense. Weights are 0 where it is False; a kept
        weight may be 0, too.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    input: str
    weight: IntArray
    bias: IntArray
    requantize: Requantize
    output: ActType
    weight_bits: int = 8
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    groups: int = 1
    pattern: Pattern = Pattern()
    mask: BoolArray | None = None

    def __post_init__(self) -> None:
        problems: list[str] = []
        _freeze_weights(self, 4, problems)
        if not problems:
            problems += _weight_problems(self, self.weight_shape)
            problems += self._geometry_problems()
        raise_if_any(f"layer '{self.name}': {problem}" for problem in problems)

    def _geometry_problems(self) -> Iterator[str]:
        filters, channels, kh, kw = self.weight_shape
        if min(self.stride) < 1:
            yield f"stride must be at least 1, got {self.stride}"
        limits = (kh, kh, kw, kw)
        if any(not 0 <= pad < limit for pad, limit in zip(self.padding, limits, strict=True)):
            yield f"padding must be 0..{max(kh, kw) - 1}, less than the kernel, got {self.padding}"
        if self.groups != 1 and (channels != 1 or filters % self.groups):
            yield (
                "groups must be 1 or the number of input channels (depthwise, weight "
                f"(F, 1, Kh, Kw) with F a multiple of groups), got groups={self.groups} with "
                f"weight {self.weight_shape}"
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    @property
    def weight_shape(self) -> WeightShape:
        """Shape (F, C/groups, Kh, Kw)."""
        filters, channels, kh, kw = self.weight.shape
        return filters, channels, kh, kw

    @property
    def kernel_size(self) -> tuple[int, int]:
        """Kernel height and width."""
        return self.weight_shape[2:]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (F, Ho, Wo) for the input shape (C, H, W)."""
        return self.weight_shape[0], *_window_shape(self, inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        wanted = self.weight_shape[1] * self.groups
        yield from _image_problems(self, inputs[0])
        if len(inputs[0]) == 3 and inputs[0][0] != wanted:
            yield f"weights read {wanted} input channels, but '{self.input}' has {inputs[0][0]}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """Fully connected layer: ``acc[o] = bias[o] + sum_i weight[o, i] * (in[i] - zero_point)``.

    Parameters as :class:`Conv2d`; `weight` and `mask` have shape (O, I).
    """

    name: str
    input: str
    weight: IntArray
    bias: IntArray
    requantize: Requantize
    output: ActType
    weight_bits: int = 8
    pattern: Pattern = Pattern()
    mask: BoolArray | None = None

    def __post_init__(self) -> None:
        problems: list[str] = []
        _freeze_weights(self, 2, problems)
        if not problems:
            problems += _weight_problems(self, self.weight_shape)
        raise_if_any(f"layer '{self.name}': {problem}" for problem in problems)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    @property
    def weight_shape(self) -> WeightShape:
        """The weights seen as a convolution: (O, I, 1, 1)."""
        outputs, features = self.weight.shape
        return outputs, features, 1, 1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (O,)."""
        return (self.weight.shape[0],)

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        if len(inputs[0]) != 1:
            yield f"needs a vector, but '{self.input}' has shape {inputs[0]}; put a Flatten before"
        elif inputs[0][0] != self.weight.shape[1]:
            features = self.weight.shape[1]
            yield f"weights read {features} features, but '{self.input}' has {inputs[0][0]}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Add:
    """Residual addition of two tensors, each brought to a common scale.

    ``acc = (a - zero_a) * multipliers[0] + (b - zero_b) * multipliers[1]``, then
    :class:`Requantize`.

    Parameters
    ----------
    inputs : pair of str
        The layers added.
    multipliers : pair of int
        1..65535.
    """

    name: str
    inputs: tuple[str, str]
    multipliers: tuple[int, int]
    requantize: Requantize
    output: ActType

    def __post_init__(self) -> None:
        problems: list[str] = []
        if len(self.inputs) != 2:
            problems.append(f"adds two layers, got inputs {self.inputs}")
        if len(self.multipliers) != 2 or not all(1 <= m < 1 << 16 for m in self.multipliers):
            problems.append(f"needs two multipliers of 1..65535, got {self.multipliers}")
        raise_if_any(f"layer '{self.name}': {problem}" for problem in problems)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of either input."""
        return inputs[0]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        if inputs[0] != inputs[1]:
            yield (
                f"adds tensors of equal shape, but '{self.inputs[0]}' has {inputs[0]} "
                f"and '{self.inputs[1]}' has {inputs[1]}"
            )
        yield from self.requantize.problems(inputs[0][0], self.output)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaxPool2d:
    """Maximum over windows; type as its input. Padding never wins.

    Parameters
    ----------
    kernel_size, stride : pair of int
        Vertical, horizontal.
    padding : Padding
        Smaller than the kernel on each side.
    """

    name: str
    input: str
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        raise_if_any(f"layer '{self.name}': {problem}" for problem in _pool_problems(self))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        return inputs[0][0], *_window_shape(self, inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        yield from _image_problems(self, inputs[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvgPool2d:
    """Sum over windows, requantized; the division by the window's area is part of the multiplier.

    ``acc[c, y, x] = sum_ij (in[c, ...] - zero_point)``; padding counts as zero. `kernel_size` None
    is global pooling: one window, the whole image.
    """

    name: str
    input: str
    requantize: Requantize
    output: ActType
    kernel_size: tuple[int, int] | None = None
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if self.kernel_size is not None:
            raise_if_any(f"layer '{self.name}': {problem}" for problem in _pool_problems(self))
        elif any(self.padding):
            raise_if_any([f"layer '{self.name}': global pooling takes no padding"])

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def window(self, shape: Shape) -> tuple[int, int]:
        """Kernel height and width for an input of `shape` (C, H, W)."""
        return self.kernel_size or (shape[1], shape[2])

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        return inputs[0][0], *_window_shape(self, inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        yield from _image_problems(self, inputs[0])
        yield from self.requantize.problems(inputs[0][0], self.output)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flatten:
    """An image (C, H, W) as a vector (C*H*W,), channels outermost, as in PyTorch."""

    name: str
    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C*H*W,)."""
        return (prod(inputs[0]),)

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        return iter(())


Layer = Conv2d | Linear | Add | MaxPool2d | AvgPool2d | Flatten
_Windowed = Conv2d | MaxPool2d | AvgPool2d


def _freeze_weights(layer: Conv2d | Linear, rank: int, problems: list[str]) -> None:
    """Make arrays read-only int64 / bool, and check their shapes."""
    for field in ("weight", "bias"):
        object.__setattr__(layer, field, frozen_ints(getattr(layer, field), field, problems))
    shape = layer.weight.shape
    if len(shape) != rank or 0 in shape:
        axes = "(F, C, Kh, Kw)" if rank == 4 else "(O, I)"
        problems.append(f"weight must have shape {axes}, got {shape}")
        return
    if layer.bias.shape != shape[:1]:
        problems.append(f"bias must have shape ({shape[0]},), got {layer.bias.shape}")
    if layer.mask is not None:
        mask = np.array(layer.mask)
        if mask.dtype != np.bool_ or mask.shape != shape:
            problems.append(f"mask must be bool of shape {shape}, got {mask.dtype} {mask.shape}")
        else:
            mask.setflags(write=False)
            object.__setattr__(layer, "mask", mask)


def _weight_problems(layer: Conv2d | Linear, shape: WeightShape) -> Iterator[str]:
    bits = layer.weight_bits
    if not 1 <= bits <= MAX_WEIGHT_BITS:
        yield f"weight_bits must be 1..{MAX_WEIGHT_BITS}, got {bits}"
    elif bits == 1:
        kept = layer.weight if layer.mask is None else layer.weight[layer.mask]
        if not np.isin(kept, (-1, 1)).all():
            yield "1-bit weights must be -1 or +1 wherever they are kept"
    else:
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        if layer.weight.min() < low or layer.weight.max() > high:
            yield (
                f"{bits}-bit weights must lie in {low}..{high}, "
                f"got {layer.weight.min()}..{layer.weight.max()}"
            )
    if np.abs(layer.bias).max() >= 1 << (MAX_BIAS_BITS - 1):
        yield f"bias must fit {MAX_BIAS_BITS} bits signed, got up to {np.abs(layer.bias).max()}"
    yield from layer.requantize.problems(shape[0], layer.output)
    yield from _mask_problems(layer, shape)


def _mask_problems(layer: Conv2d | Linear, shape: WeightShape) -> Iterator[str]:
    unfit = list(layer.pattern.problems(shape))
    yield from unfit
    if layer.mask is None:
        if not layer.pattern.is_dense:
            yield f"the pattern {layer.pattern} needs a mask"
    elif not unfit:
        yield from layer.pattern.violations(layer.mask.reshape(shape))
        if pruned := int(np.count_nonzero(layer.weight[~layer.mask])):
            yield f"{pruned} weights are not 0 where the mask is False"


def _pool_problems(layer: MaxPool2d | AvgPool2d) -> Iterator[str]:
    kh, kw = layer.kernel_size or (0, 0)
    if min(kh, kw) < 1:
        yield f"kernel_size must be at least 1, got {layer.kernel_size}"
    if min(layer.stride) < 1:
        yield f"stride must be at least 1, got {layer.stride}"
    limits = (kh, kh, kw, kw)
    if any(not 0 <= pad < limit for pad, limit in zip(layer.padding, limits, strict=True)):
        yield f"padding must be less than the kernel {layer.kernel_size}, got {layer.padding}"


def _kernel(layer: _Windowed, shape: Shape) -> tuple[int, int]:
    return layer.window(shape) if isinstance(layer, AvgPool2d) else layer.kernel_size


def _window_shape(layer: _Windowed, shape: Shape) -> tuple[int, int]:
    kh, kw = _kernel(layer, shape)
    top, bottom, left, right = layer.padding
    return (
        (shape[1] + top + bottom - kh) // layer.stride[0] + 1,
        (shape[2] + left + right - kw) // layer.stride[1] + 1,
    )


def _image_problems(layer: _Windowed, shape: Shape) -> Iterator[str]:
    if len(shape) != 3:
        yield f"needs an image (C, H, W), but '{layer.input}' has shape {shape}"
    elif min(_window_shape(layer, shape)) < 1:
        yield (
            f"kernel {_kernel(layer, shape)} does not fit '{layer.input}' of shape {shape} "
            f"with padding {layer.padding}"
        )
