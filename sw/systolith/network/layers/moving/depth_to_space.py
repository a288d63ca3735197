"""Channels as pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from systolith.network.layers.moving._blocks import BlockLayer
from systolith.network.numbers import IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["DepthToSpace"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthToSpace(BlockLayer):
    """Each pixel of b*b*C channels as b x b pixels of C channels.

    ``y[c, h*b + i, w*b + j] = x[(i*b + j)*C + c, h, w]``, as DepthToSpace of ONNX with its mode
    DCR. PyTorch's pixel shuffle has its channels in another order: ``c*b*b + i*b + j``.

    Parameters
    ----------
    block : int
        Side b, at least 2.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, H*b, W*b)."""
        channels, height, width = inputs[0]
        return channels // self.block**2, height * self.block, width * self.block

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := list(self.image_problems(inputs)):
            yield from unfit
        elif inputs[0][0] % self.block**2:
            yield (
                f"needs channels divisible by {self.block**2}, but '{self.input}' has shape "
                f"{inputs[0]}"
            )

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        (x,), b = values, self.block
        images, channels, height, width = x.shape
        parts = x.reshape(images, b, b, channels // b**2, height, width)
        moved = parts.transpose(0, 3, 4, 1, 5, 2)
        return moved.reshape(images, channels // b**2, height * b, width * b)
