"""An activation of a file, and the layer of the network that computes it."""

from dataclasses import dataclass, replace

import numpy as np

from systolith.network import ActType, IntArray, Padding, Shape
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileOperator, FileTensor
from systolith.tflite.places import image_places

__all__ = ["FULL_INTEGER", "NO_PADDING", "Activation", "act_type"]

FULL_INTEGER = (
    "convert the model with full-integer quantization (inference_input_type and "
    "inference_output_type are int8)"
)
NO_PADDING: Padding = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activation:
    """A tensor of the file as a result of the network.

    Attributes
    ----------
    layer : str
        Layer that computes it.
    tensor : FileTensor
        Images are (1, H, W, C) in the file.
    shape : tuple of int
        Shape of the layer's result: (C, H, W) or (features,).
    places : array of int64, shape of the tensor
        Index of each element in the flattened result of the layer, padding included.
    padding : tuple of int
        Rows and columns of zeros at top, bottom, left and right that are not part of `layer`.
    reals : tuple of FileOperator
        Operators that compute this tensor of real numbers from the integers of `layer`; empty for
        integers.
    """

    layer: str
    tensor: FileTensor
    shape: Shape
    places: IntArray
    padding: Padding = NO_PADDING
    reals: tuple[FileOperator, ...] = ()

    @property
    def type(self) -> ActType:
        """Type of the integers."""
        return act_type(self.tensor)

    @property
    def scale(self) -> float:
        """Real value of one unit; a float32. Classes stand for themselves."""
        return float(self.tensor.scale[0]) if len(self.tensor.scale) else 1.0

    @property
    def whole_shape(self) -> Shape:
        """Shape with the padding."""
        if len(self.shape) != 3:
            return self.shape
        channels, height, width = self.shape
        top, bottom, left, right = self.padding
        return channels, height + top + bottom, width + left + right

    @property
    def is_ordered(self) -> bool:
        """Whether the file has the values of an image pixel by pixel, whatever its axes are."""
        if len(self.shape) != 3:
            return False
        return np.array_equal(self.places.ravel(), image_places(self.whole_shape).ravel())

    @property
    def is_complete(self) -> bool:
        """Whether the tensor has each value of the layer once."""
        places = np.sort(self.places, axis=None)
        return np.array_equal(places, np.arange(np.prod(self.whole_shape)))

    @property
    def is_image(self) -> bool:
        """Whether this is an image (1, H, W, C), or a sequence (1, L, C), in the usual order."""
        match self.tensor.shape:
            case (1, height, width, _):
                fits = self.whole_shape[1:] == (height, width)
            case (1, length, _):
                fits = sorted(self.whole_shape[1:]) == sorted((1, length))
            case _:
                return False
        return fits and self.is_ordered

    def view(self, tensor: FileTensor, places: IntArray | None = None) -> "Activation":
        """Return the values as another tensor, in the same order or at other places.

        Raises
        ------
        TfliteError
            If the tensor has another scale or type, or another number of values.
        """
        if act_type(tensor) != self.type or float(tensor.scale[0]) != self.scale:
            raise TfliteError(["changes the scale of values that it only moves"])
        places = self.places if places is None else places
        if places.size != np.prod(tensor.shape):
            raise TfliteError([f"makes {tensor.shape} of {places.shape}: not supported"])
        return replace(self, tensor=tensor, places=places.reshape(tensor.shape))


def act_type(tensor: FileTensor) -> ActType:
    """Give the type of an activation.

    Raises
    ------
    TfliteError
        If it is no int8 tensor with one scale.
    """
    if tensor.type != "INT8":
        raise TfliteError(
            [f"has the {tensor.type.lower()} activation '{tensor.name}'; {FULL_INTEGER}"]
        )
    if len(tensor.scale) != 1:
        raise TfliteError(
            [f"activation '{tensor.name}' must have one scale, but has {len(tensor.scale)}"]
        )
    return ActType(bits=8, signed=True, zero_point=int(tensor.zero_point[0]))
