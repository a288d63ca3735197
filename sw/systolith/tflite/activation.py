"""An activation of a file, and the layer of the network that computes it."""

from dataclasses import dataclass, field, replace

from systolith.network import ActType, Flatten, Layer, Pad2d, Padding, Shape
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileOperator, FileTensor
from systolith.tflite.names import name_layer

__all__ = ["FULL_INTEGER", "Activation", "Draft", "act_type"]

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
    reals : tuple of FileOperator
        Operators that compute this tensor of real numbers from the integers of `layer`; empty for
        integers.
    """

    layer: str
    tensor: FileTensor
    shape: Shape
    flattened: Shape | None = None
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


@dataclass(slots=True, kw_only=True)
class Draft:
    """The network while it is read.

    Attributes
    ----------
    layers : list of Layer
    notes : list of str
        What is left to the host.
    functions : dict of int to (int, tuple of FileOperator)
        By number of a tensor that a table computes: the tensor that it is a function of, and the
        file's operators between.
    ends : dict of int to str
        By number of a tensor, what the host turns it into probabilities with.
    class_on_chip : bool
        Whether an ARG_MAX at the end is a layer.
    padded : dict of (str, tuple of int) to str
        Layers of padded images, by the image's layer and the padding.
    """

    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    functions: dict[int, tuple[int, tuple[FileOperator, ...]]] = field(default_factory=dict)
    padded: dict[tuple[str, Padding], str] = field(default_factory=dict)
    ends: dict[int, str] = field(default_factory=dict)
    class_on_chip: bool = False

    def pad(self, x: Activation) -> Activation:
        """Make the padding of an image a layer of its own; other tensors stay as they are."""
        if not any(x.padding):
            return x
        top, bottom, left, right = x.padding
        channels, height, width = x.shape
        shape = channels, height + top + bottom, width + left + right
        key = x.layer, x.padding
        if key not in self.padded:
            self.padded[key] = name_layer(
                [x.tensor.name], "PAD", [layer.name for layer in self.layers]
            )
            self.layers.append(Pad2d(name=self.padded[key], input=x.layer, padding=x.padding))
        return replace(x, layer=self.padded[key], shape=shape, padding=NO_PADDING)

    def drop_unread(self, outputs: set[str]) -> None:
        """Drop layers that no output depends on."""
        needed, kept = set(outputs), []
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(layer.inputs)
                kept.append(layer)
        self.layers = kept[::-1]

    def flatten(self, x: Activation, name: str) -> Activation:
        """Make an image a vector; a vector stays as it is."""
        if len(x.shape) == 1:
            return x
        x = self.pad(x)
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
