"""The layers of an integer network: frozen data that checks itself.

A layer names its inputs; shapes and types of those come from the network. Images are ``(C, H, W)``,
vectors ``(features,)``; the batch axis is never part of a shape here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from systolith.network._fields import Fields, show
from systolith.network._layer_checks import (
    Padding,
    Shape,
    check_kernel,
    check_weights,
    check_window,
    finish,
    image_problems,
    shape_problems,
    window_shape,
)
from systolith.network.axes import BoolArray, WeightShape
from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.pattern import Pattern

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conv2d:
    """2-D convolution (cross-correlation, as in PyTorch) with its activation folded in.

    ``acc[f, y, x] = bias[f] + sum_cij weight[f, c, i, j] * centred[c, y*sh+i-top, x*sw+j-left]``
    with ``centred = in - zero_point`` and 0 in the padding. Then :class:`Requantize`.

    Parameters
    ----------
    name, input : str
        Unique name, of letters, digits, '_' and '.', no digit or '.' first: Verilog modules and
        files are named after it. The layer (or ``"input"``) that is read.
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
        Vertical, horizontal; at least 1.
    padding : Padding
        At top, bottom, left, right; smaller than the kernel on each side.
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

    Examples
    --------
    >>> import numpy as np
    >>> conv = Conv2d(
    ...     name="conv", input="input", weight=np.ones((4, 3, 3, 3), dtype=np.int64),
    ...     bias=np.zeros(4, dtype=np.int64), output=ActType(bits=8, signed=False),
    ...     requantize=Requantize(multiplier=np.array([1]), shift=np.array([5])),
    ...     padding=(1, 1, 1, 1), stride=(2, 2),
    ... )
    >>> conv.output_shape([(3, 32, 32)])
    (4, 16, 16)
    >>> list(conv.problems([(8, 32, 32)]))
    ["weights read 3 input channels, but 'input' has 8"]
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
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        usable = check_weights(fields, self, 4)
        check_window(fields, self, self.kernel_size if usable else None)
        if fields.integer("groups") and usable and self.groups != 1:
            filters, channels = self.weight.shape[:2]
            if self.groups < 1 or channels != 1 or filters % self.groups:
                fields.problems.append(
                    "groups must be 1 or the number of input channels (depthwise, weight "
                    f"(F, 1, Kh, Kw) with F a multiple of groups), got groups={self.groups} with "
                    f"weight {self.weight.shape}"
                )
        finish(fields, self.name)

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
        return self.weight_shape[0], *window_shape(self, self.kernel_size, inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
            return
        yield from image_problems(self, self.kernel_size, self.input, inputs[0])
        wanted = self.weight_shape[1] * self.groups
        if len(inputs[0]) == 3 and inputs[0][0] != wanted:
            yield f"weights read {wanted} input channels, but '{self.input}' has {inputs[0][0]}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """Fully connected layer: ``acc[o] = bias[o] + sum_i weight[o, i] * (in[i] - zero_point)``.

    Parameters and errors as :class:`Conv2d`; `weight` and `mask` have shape (O, I), `bias` (O,).
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
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        check_weights(fields, self, 2)
        finish(fields, self.name)

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
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
        elif len(inputs[0]) != 1:
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

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    inputs: tuple[str, str]
    multipliers: tuple[int, int]
    requantize: Requantize
    output: ActType

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        given = self.inputs
        if (
            isinstance(given, tuple | list)
            and len(given) == 2
            and all(isinstance(name, str) for name in given)
        ):
            object.__setattr__(self, "inputs", tuple(given))
        else:
            fields.problems.append(f"inputs must be the names of two layers, got {show(given)}")
        if fields.integers("multipliers", 2) and not all(
            1 <= multiplier < 1 << 16 for multiplier in self.multipliers
        ):
            fields.problems.append(f"multipliers must lie in 1..65535, got {self.multipliers}")
        fields.instance("requantize", Requantize)
        fields.instance("output", ActType)
        finish(fields, self.name)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of either input."""
        return inputs[0]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
            return
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
        Vertical, horizontal; 1..65535 and at least 1.
    padding : Padding
        At top, bottom, left, right; smaller than the kernel on each side.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    input: str
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        usable = check_kernel(fields, self)
        check_window(fields, self, self.kernel_size if usable else None)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        return inputs[0][0], *window_shape(self, self.kernel_size, inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
        else:
            yield from image_problems(self, self.kernel_size, self.input, inputs[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvgPool2d:
    """Sum over windows, requantized; the division by the window's area is part of the multiplier.

    ``acc[c, y, x] = sum_ij (in[c, ...] - zero_point)``; padding counts as zero, and in the area.

    Parameters
    ----------
    kernel_size : pair of int, optional
        None is global pooling: one window, the whole image, no padding.
    stride, padding
        As :class:`MaxPool2d`.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    input: str
    requantize: Requantize
    output: ActType
    kernel_size: tuple[int, int] | None = None
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        usable = self.kernel_size is not None and check_kernel(fields, self)
        typed = check_window(fields, self, self.kernel_size if usable else None)
        if typed and self.kernel_size is None and any(self.padding):
            fields.problems.append(f"global pooling takes no padding, got {self.padding}")
        fields.instance("requantize", Requantize)
        fields.instance("output", ActType)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def window(self, shape: Shape) -> tuple[int, int]:
        """Kernel height and width for an input of `shape` (C, H, W)."""
        return self.kernel_size or (shape[1], shape[2])

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        return inputs[0][0], *window_shape(self, self.window(inputs[0]), inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
            return
        yield from image_problems(self, self.kernel_size, self.input, inputs[0])
        yield from self.requantize.problems(inputs[0][0], self.output)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flatten:
    """An image (C, H, W) as a vector (C*H*W,), channels outermost, as in PyTorch."""

    name: str
    input: str

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C*H*W,)."""
        return (prod(inputs[0]),)

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """What does not fit inputs of these shapes."""
        yield from shape_problems(self.inputs, inputs)


Layer = Conv2d | Linear | Add | MaxPool2d | AvgPool2d | Flatten
