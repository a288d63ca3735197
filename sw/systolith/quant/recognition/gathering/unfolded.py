"""Padding, factors and shifts in front of a layer, to be folded into it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor, fx

from systolith.network import Padding, Shape, add_padding
from systolith.quant.recognition.folding import fold_scale
from systolith.quant.recognition.operations import (
    AveragePool,
    Convolve,
    MatrixMultiply,
    MaxPool,
    Operation,
    Pad,
    ScaleAndShift,
)

__all__ = ["FOLDS_ZEROS", "TO_BE_FOLDED", "Refusal", "Unfolded", "fold"]

FOLDS_ZEROS = "a Conv2d, AvgPool2d or (after a ReLU) MaxPool2d"
TO_BE_FOLDED = "to be folded into"
IMAGE_AXES = 3
"""C, H, W."""
_UNREAD = f"needs only {FOLDS_ZEROS} to read it, {TO_BE_FOLDED}"

Refusal = tuple[fx.Node, str]


@dataclass(frozen=True, slots=True)
class Unfolded:
    """Nodes without a layer of their own, in front of a reader.

    Parameters
    ----------
    pads : tuple of (fx.Node, Pad)
    scales : tuple of (fx.Node, ScaleAndShift)
    factor, shift : Tensor, optional
        All scales together, in the shape of one image.
    """

    pads: tuple[tuple[fx.Node, Pad], ...] = ()
    scales: tuple[tuple[fx.Node, ScaleAndShift], ...] = ()
    factor: Tensor | None = None
    shift: Tensor | None = None

    def __bool__(self) -> bool:
        return bool(self.pads or self.scales)

    @property
    def padding(self) -> Padding:
        """Zeros of all pads together."""
        return add_padding(*(pad.padding for _, pad in self.pads))

    @property
    def shifts(self) -> bool:
        """Whether the shift changes zeros."""
        return self.shift is not None and bool(self.shift.any())

    def padded_shape(self, shape: Shape) -> Shape:
        """Shape of an image together with its padding."""
        if not self.pads or len(shape) != IMAGE_AXES:  # a vector made an image, which is refused
            return shape
        top, bottom, left, right = self.padding
        return shape[0], shape[1] + top + bottom, shape[2] + left + right

    def add_pad(self, node: fx.Node, pad: Pad) -> "Unfolded":
        """Add a node that pads; factors and shifts must not come before it."""
        return replace(self, pads=(*self.pads, (node, pad)))

    def add_scale(self, node: fx.Node, scale: ScaleAndShift) -> "Unfolded":
        """Add a node that scales."""
        factor, shift = scale.factor, scale.shift
        if self.factor is not None and self.shift is not None:
            factor, shift = self.factor * factor, self.shift * factor + shift
        return replace(self, scales=(*self.scales, (node, scale)), factor=factor, shift=shift)

    def reshape(self, shape: Shape) -> "Unfolded":
        """Convert factors and shifts to another shape of images."""
        if self.factor is None or self.shift is None:
            return self
        return replace(self, factor=self.factor.reshape(shape), shift=self.shift.reshape(shape))

    def unread(self) -> Iterator[Refusal]:
        """Refuse all of it, because its reader cannot take it."""
        yield from ((node, _UNREAD) for node, _ in self.pads)
        yield from ((node, scale.reason) for node, scale in self.scales)


def fold(
    unfolded: Unfolded, operation: Operation, *, activated: bool, reader: str
) -> tuple[Operation, list[Refusal]]:
    """Fold padding, factors and shifts into the operation that reads them.

    The padding of a max pool never wins, and neither do zeros over the output of a ReLU.

    Parameters
    ----------
    unfolded : Unfolded
    operation : Operation
    activated : bool
        Whether the values come from a ReLU.
    reader : str
        Title of the operation, for messages.

    Returns
    -------
    operation : Operation
    refused : list of Refusal
        Nodes that could not be folded, with reasons.
    """
    refused: list[Refusal] = []
    if unfolded.pads:
        operation = _fold_pads(unfolded, operation, activated, refused)
    if unfolded.scales:
        operation = _fold_scales(unfolded, operation, reader, refused)
    return operation, refused


def _fold_pads(
    unfolded: Unfolded, operation: Operation, activated: bool, refused: list[Refusal]
) -> Operation:
    kernel = _reach(operation)
    if kernel is None or (isinstance(operation, MaxPool) and not activated):
        refused.extend((node, _UNREAD) for node, _ in unfolded.pads)
        return operation
    assert isinstance(operation, Convolve | AveragePool | MaxPool)
    padding = top, bottom, left, right = add_padding(operation.padding, unfolded.padding)
    if max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]:
        reason = (
            f"needs padding smaller than the kernel {kernel} it is folded into, "
            f"got {(top, bottom, left, right)}"
        )
        refused.extend((node, reason) for node, _ in unfolded.pads)
    if isinstance(operation, AveragePool):
        # Zeros of a node of their own are pixels of the image that is averaged.
        counted = operation.counted and add_padding(operation.counted, unfolded.padding)
        return replace(operation, padding=padding, counted=counted)
    return replace(operation, padding=padding)


def _fold_scales(
    unfolded: Unfolded, operation: Operation, reader: str, refused: list[Refusal]
) -> Operation:
    nodes = [node for node, _ in unfolded.scales]
    pads = isinstance(operation, Convolve) and (any(operation.padding) or operation.phases)
    if pads and unfolded.shifts:
        reason = (
            f"needs no padding in {reader} behind it, whose zeros would have to be shifted, too; "
            "normalize the images in the data set"
        )
        refused.extend((node, reason) for node in nodes)
    elif isinstance(operation, Convolve | MatrixMultiply):
        assert unfolded.factor is not None and unfolded.shift is not None
        match operation:
            case Convolve(module=conv):
                scaled_conv = fold_scale(conv, unfolded.factor, unfolded.shift)
                if scaled_conv is not None:
                    return replace(operation, module=scaled_conv)
            case MatrixMultiply(module=linear):
                scaled = fold_scale(linear, unfolded.factor, unfolded.shift)
                if scaled is not None:
                    return MatrixMultiply(scaled)
        refused.extend(
            (node, "needs the same factor and shift for all pixels of a channel") for node in nodes
        )
    else:
        refused.extend((node, scale.reason) for node, scale in unfolded.scales)
    return operation


def _reach(operation: Operation) -> tuple[int, int] | None:
    """Kernel of an operation that can pad; none for global pools, whose kernel would grow."""
    match operation:
        case Convolve(phases=int()):
            return None
        case Convolve(reach=reach) | MaxPool(reach=reach):
            return reach
        case AveragePool(kernel_size=kernel):
            return kernel
        case _:
            return None
