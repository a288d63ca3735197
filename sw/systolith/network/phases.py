"""Transposed convolutions of strides r and s as r*s convolutions of the input, their phases.

Output ``o`` reads tap ``k`` of input ``i`` where ``o + padding = s*i + k``. So the outputs with one
remainder of ``o + padding`` by s, a phase, read every s-th tap: a convolution of their own. Nothing
is multiplied with the zeros that lie between the pixels in the usual picture.
"""

from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from systolith.network.numbers import IntArray

__all__ = ["PhaseWindow", "phase_order", "split_phases"]


@dataclass(frozen=True, slots=True)
class PhaseWindow:
    """What the convolution pads along one axis, and what is cut off the pixels of its phases.

    Parameters
    ----------
    before, after : int
        Zeros around the input.
    cut_before, cut_after : int
        Pixels to cut off.

    Examples
    --------
    >>> PhaseWindow.of(size=8, output=16, kernel=4, stride=2, padding=1)
    PhaseWindow(before=1, after=1, cut_before=1, cut_after=1)
    """

    before: int
    after: int
    cut_before: int
    cut_after: int

    @classmethod
    def of(cls, size: int, output: int, kernel: int, stride: int, padding: int) -> "PhaseWindow":
        """Compute the window from sizes of input, output and kernel."""
        taps = ceil(kernel / stride)
        whole = min(padding // stride, taps - 1)
        before, cut = taps - 1 - whole, padding - whole * stride
        blocks = ceil((cut + output) / stride)
        after = max(blocks - size - before + taps - 1, 0)
        blocks = size + before + after - taps + 1
        return cls(before, after, cut, blocks * stride - cut - output)


def split_phases(weight: IntArray, strides: tuple[int, int], groups: int) -> IntArray:
    """Write the weights of a transposed convolution as those of all its phases.

    Parameters
    ----------
    weight : array of int64, shape (C, F/groups, Kh, Kw)
        As in ``torch.nn.ConvTranspose2d`` and ONNX.
    strides : (int, int)
        r of rows, s of columns.
    groups : int

    Returns
    -------
    array of int64, shape (r*s*F, C/groups, ceil(Kh/r), ceil(Kw/s))
        Filters of one group beside each other, in each group by phase. Taps that do not exist, if
        a stride does not divide the kernel, are 0.
    """
    channels, filters, *kernel = weight.shape
    sizes = [ceil(size / stride) * stride for size, stride in zip(kernel, strides, strict=True)]
    whole = np.zeros((channels, filters, *sizes), dtype=np.int64)
    whole[:, :, : kernel[0], : kernel[1]] = weight
    phases = [
        part[:, :, row :: strides[0], column :: strides[1]][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        for part in np.split(whole, groups)
        for row in range(strides[0])
        for column in range(strides[1])
    ]
    return np.concatenate(phases)


def phase_order(filters: int, strides: tuple[int, int], groups: int) -> tuple[int, ...]:
    """Order the filters of :func:`split_phases` by phase, as DepthToSpace needs them."""
    phases = prod(strides)
    numbers = np.arange(phases * filters).reshape(groups, phases, -1)
    return tuple(numbers.swapaxes(0, 1).ravel().tolist())
