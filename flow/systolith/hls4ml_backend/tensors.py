"""A tensor of hls4ml on its way into the network: where it comes from, and what is still to do."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from systolith.hls4ml_backend.form import ElementwiseStep, Form
from systolith.network import ActType, IntArray, Layer, Padding, Requantize

__all__ = ["LayerStep", "Make", "PendingTensor", "TraceRecipe", "image_view"]

Make = Callable[[str, Requantize, ActType], Layer]
"""Makes a layer of this name with this requantization and type."""


@dataclass(frozen=True, slots=True)
class LayerStep:
    """A step, and the layer of hls4ml that asks for it."""

    layer: str
    step: ElementwiseStep


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTensor:
    """What a layer of hls4ml computes.

    Attributes
    ----------
    source : str
        Tensor of the network that is read; if there is `make`, the name of the layer to make.
    form : Form
        Of what comes out of `source` before `steps`.
    view : array of int64, of the shape that hls4ml gives the tensor
        Which element of the network's tensor (C, H, W), in C order, stands at each place.
    shape : tuple of int
        (C, H, W) of the network's tensor.
    make : callable or None
        Makes the layer whose accumulators `form` describes; None if `source` is there already.
    steps : tuple of LayerStep
        Still to do.
    padding : Padding
        Zeros around the image that the next layer has to read.
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
        """Shape that hls4ml gives the tensor, zeros around it counted."""
        if not any(self.padding):
            return self.view.shape
        top, bottom, left, right = self.padding
        *size, channels = self.view.shape
        sides = (top + bottom, left + right)[-len(size) :]
        return (*(a + b for a, b in zip(size, sides, strict=True)), channels)

    @property
    def is_image(self) -> bool:
        """Whether hls4ml sees the network's image with channels last."""
        return not any(self.padding) and self.is_unpadded_image

    @property
    def is_unpadded_image(self) -> bool:
        """Whether the image is in order, zeros around it left aside."""
        return any(
            self.view.shape == view.shape and bool((self.view == view).all())
            for view in _views(self.shape)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRecipe:
    """How a layer's output follows from tensors of the network.

    Attributes
    ----------
    source : str
        Tensor, or layer whose accumulators are meant.
    accumulators : bool
    fraction : int
        Of either.
    steps : tuple of ElementwiseStep
    view : array of int64
    padding : Padding
        Zeros around it.
    """

    source: str
    accumulators: bool
    fraction: int
    steps: tuple[ElementwiseStep, ...]
    view: IntArray
    padding: Padding = (0, 0, 0, 0)


def image_view(shape: tuple[int, int, int], rank: int) -> IntArray | None:
    """View an image (C, H, W) as hls4ml does: (H, W, C), (W, C) if H is 1, or (C,) of a pixel.

    None if there is no view of this rank.
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
