"""Tensors of hls4ml while the graph is mapped: their source in the network and open steps."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from systolith.hls4ml_backend.form import ElementwiseStep, Form
from systolith.network import ActType, IntArray, Padding, Requantize, Requantized

__all__ = ["LayerStep", "Make", "PendingTensor", "TraceRecipe", "image_view"]

Make = Callable[[str, Requantize, ActType], Requantized]
"""Makes a layer from (name, requantization, output type)."""


@dataclass(frozen=True, slots=True)
class LayerStep:
    """A step, and the layer of hls4ml that requires it."""

    layer: str
    step: ElementwiseStep


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTensor:
    """The output of a layer of hls4ml.

    Attributes
    ----------
    source : str
        Tensor of the network, or with `make`, the name of the layer to make.
    form : Form
        Form of `source` before `steps`.
    view : array of int64, in hls4ml's shape
        Index of each element in the flattened network tensor (C, H, W).
    shape : tuple of int
        (C, H, W) of the network tensor.
    make : callable or None
        Makes the layer whose accumulators have `form`; None if `source` exists.
    steps : tuple of LayerStep
        Steps that are not part of a layer yet.
    padding : Padding
        Zeros around the image that the next layer adds.
    """

    source: str
    form: Form
    view: IntArray
    shape: tuple[int, int, int]
    make: Make | None = None
    steps: tuple[LayerStep, ...] = ()
    padding: Padding = (0, 0, 0, 0)

    def then(self, layer: str, *steps: ElementwiseStep) -> "PendingTensor":
        """Append steps."""
        return replace(self, steps=(*self.steps, *(LayerStep(layer, step) for step in steps)))

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape in hls4ml, with the padding."""
        if not any(self.padding):
            return self.view.shape
        top, bottom, left, right = self.padding
        *size, channels = self.view.shape
        sides = (top + bottom, left + right)[-len(size) :]
        return (*(a + b for a, b in zip(size, sides, strict=True)), channels)

    @property
    def is_image(self) -> bool:
        """Whether it is an image with channels last and without padding."""
        return not any(self.padding) and self.is_unpadded_image

    @property
    def is_unpadded_image(self) -> bool:
        """Whether it is an image with channels last, apart from the padding."""
        return any(
            self.view.shape == view.shape and bool((self.view == view).all())
            for view in _views(self.shape)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRecipe:
    """How to compute a layer's output from the tensors of the network.

    Attributes
    ----------
    source : str
        Tensor, or layer whose accumulators are used.
    accumulators : bool
        Whether accumulators are used.
    fraction : int
        Fractional bits of the tensor or the accumulators.
    steps : tuple of ElementwiseStep
    view : array of int64
    padding : Padding
        Zeros around the image.
    """

    source: str
    accumulators: bool
    fraction: int
    steps: tuple[ElementwiseStep, ...]
    view: IntArray
    padding: Padding = (0, 0, 0, 0)


def image_view(shape: tuple[int, int, int], rank: int) -> IntArray | None:
    """Give the view of an image (C, H, W) with `rank` dimensions; None if there is none.

    It is (H, W, C), (W, C) if H is 1, or (C,) if there is one pixel.
    """
    return next((view for view in _views(shape) if view.ndim == rank), None)


def _views(shape: tuple[int, int, int]) -> list[IntArray]:
    whole = np.arange(np.prod(shape)).reshape(shape).transpose(1, 2, 0)
    views = [whole]
    if shape[1] == 1:
        views.append(whole[0])
        if shape[2] == 1:
            views.append(whole[0, 0])
    return views
