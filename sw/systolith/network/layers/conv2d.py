"""Convolutions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.axes import BoolArray, WeightShape
from systolith.network.layers._accumulating import Accumulating
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.layers._weights import check_weights, exact_matmul, weighted_range
from systolith.network.layers._window import (
    Padding,
    check_dilation,
    check_window,
    image_problems,
    inside,
    reach_of,
    view_windows,
    window_shape,
)
from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.pattern import Pattern
from systolith.network.tensor import Shape, Tensor

__all__ = ["Conv2d"]

LOWERED_BYTES = 1 << 26
"""Size of the lowered windows that are multiplied at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conv2d(Accumulating):
    """2-D convolution (cross-correlation, as in PyTorch) with its activation folded in.

    ``acc[f, y, x] = bias[f] + sum_cij weight[f, c, i, j] * centred[c, row, column]``
    with ``row = y*sh + i*dh - top``, ``column = x*sw + j*dw - left`` and
    ``centred = in - zero_point``, 0 in the padding. Then :class:`Requantize`.

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
        At top, bottom, left, right; on each side smaller than the dilated kernel.
    groups : int
        1, or the number of input channels (depthwise). For others, see
        :func:`systolith.network.ungroup_weights`.
    pattern : Pattern
        Which weights are kept; `mask` must conform to it exactly.
    mask : array of bool, shape of weight, optional
        True keeps. Required unless the pattern is dense. Weights are 0 where it is False; a kept
        weight may be 0, too.
    dilation : pair of int
        Distance between neighbouring taps, vertical and horizontal; at least 1.

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
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        usable = check_weights(fields, self, 4)
        dilated = check_dilation(fields, self)
        check_window(fields, self, self.reach if usable and dilated else None)
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

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns from the first tap to the last: the dilated kernel."""
        return reach_of(self.kernel_size, self.dilation)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (F, Ho, Wo) for the input shape (C, H, W)."""
        return self.weight_shape[0], *window_shape(self, self.reach, inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
            return
        yield from image_problems(self, self.reach, self.input, inputs[0])
        wanted = self.weight_shape[1] * self.groups
        if len(inputs[0]) == 3 and inputs[0][0] != wanted:
            yield f"weights read {wanted} input channels, but '{self.input}' has {inputs[0][0]}"

    def accumulate(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Add bias, and weights times centred inputs."""
        x = values[0] - inputs[0].type.zero_point
        windows = view_windows(x, self.kernel_size, self.stride, self.padding, 0, self.dilation)
        n, channels, ho, wo = windows.shape[:4]
        filters = len(self.weight)
        if self.groups == 1:
            weight = self.weight.reshape(filters, -1)
            acc = np.empty((n, filters, ho, wo), dtype=np.int64)
            # A few images at a time: all lowered windows of a batch would take gigabytes.
            step = max(1, LOWERED_BYTES // (8 * ho * wo * weight.shape[1]))
            for start in range(0, n, step):
                part = windows[start : start + step].transpose(0, 2, 3, 1, 4, 5).astype(np.float64)
                lowered = part.reshape(len(part) * ho * wo, weight.shape[1])
                product = exact_matmul(lowered, weight).reshape(len(part), ho, wo, filters)
                acc[start : start + step] = product.transpose(0, 3, 1, 2)
        else:
            per_channel = self.weight.reshape(channels, filters // channels, *self.kernel_size)
            acc = np.einsum("nchwij,cmij->ncmhw", windows, per_channel).reshape(n, filters, ho, wo)
        return np.asarray(acc + self.bias[:, None, None])

    def accumulator_range(self, inputs: Sequence[Tensor]) -> tuple[int, int]:
        """Compute the range of partial sums over all filters and windows."""
        windows = inside(
            inputs[0].shape, self.kernel_size, self.stride, self.padding, self.dilation
        )
        return weighted_range(self, inputs[0].type, windows)
