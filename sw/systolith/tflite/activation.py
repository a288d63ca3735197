"""An activation of a file, and the layer of the network that computes it."""

from dataclasses import dataclass, field, replace

from systolith.network import ActType, Flatten, Layer, Padding, Shape
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileTensor

__all__ = ["Activation", "Draft", "act_type"]

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
        Shape in the network: (C, H, W) or (features,).
    flattened : tuple of int, optional
        Shape (C, H, W) of the image that this vector was: the file orders it by (H, W, C), the
        network by (C, H, W). None for others.
    padding : tuple of int
        Rows and columns of zeros at top, bottom, left and right that are not part of `layer`.
    """

    layer: str
    tensor: FileTensor
    shape: Shape
    flattened: Shape | None = None
    padding: Padding = NO_PADDING

    @property
    def type(self) -> ActType:
        """Type of the integers."""
        return act_type(self.tensor)

    @property
    def scale(self) -> float:
        """Real value of one unit; a float32."""
        return float(self.tensor.scale[0])


@dataclass(slots=True, kw_only=True)
class Draft:
    """The network while it is read.

    Attributes
    ----------
    layers : list of Layer
    notes : list of str
        What is left to the host.
    """

    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def flatten(self, x: Activation, name: str) -> Activation:
        """Make an image a vector; a vector stays as it is."""
        if len(x.shape) == 1:
            return x
        if any(x.padding):
            raise TfliteError(["flattens a padded image; pad it right before a convolution"])
        channels, height, width = x.shape
        self.layers.append(Flatten(name=name, input=x.layer))
        moved = x.shape if height * width > 1 else None
        return replace(x, layer=name, shape=(channels * height * width,), flattened=moved)


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
