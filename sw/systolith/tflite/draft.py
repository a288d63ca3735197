"""The network while it is read, and layers that bring values into an order."""

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from systolith.network import (
    Flatten,
    IntArray,
    Layer,
    MaxPool2d,
    Pad2d,
    Padding,
    SelectChannels,
    Upsample,
)
from systolith.tflite.activation import NO_PADDING, Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileOperator, FileTensor
from systolith.tflite.names import name_layer
from systolith.tflite.places import find_selection, image_places

__all__ = ["ONLY_DILATED", "Draft"]

ONLY_DILATED = (
    "between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, convolutions of stride 1 and functions of "
    "each value are supported"
)


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
    flattened : dict of str to str
        Layers of flattened images, by the image's layer.
    arranged : dict of (str, tuple of int, bytes) to Activation
        Images that were brought into the usual order, by layer and places.
    pixels : set of int
        Vectors that are read as images of one pixel later on, by number of tensor.
    """

    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    functions: dict[int, tuple[int, tuple[FileOperator, ...]]] = field(default_factory=dict)
    padded: dict[tuple[str, Padding], str] = field(default_factory=dict)
    flattened: dict[str, str] = field(default_factory=dict)
    arranged: dict[tuple[str, tuple[int, ...], bytes], Activation] = field(default_factory=dict)
    pixels: set[int] = field(default_factory=set)
    ends: dict[int, str] = field(default_factory=dict)
    class_on_chip: bool = False

    def name(self, tensor: FileTensor, kind: str) -> str:
        """Name a layer after a tensor."""
        return name_layer([tensor.name], kind, [layer.name for layer in self.layers])

    def pad(self, x: Activation) -> Activation:
        """Make the padding of an image a layer of its own; other tensors stay as they are."""
        if not any(x.padding):
            return x
        key = x.layer, x.padding
        if key not in self.padded:
            self.padded[key] = self.name(x.tensor, "PAD")
            self.layers.append(Pad2d(name=self.padded[key], input=x.layer, padding=x.padding))
        return replace(x, layer=self.padded[key], shape=x.whole_shape, padding=NO_PADDING)

    def flatten(self, x: Activation, name: str | None = None) -> Activation:
        """Make the layer's result a vector; a vector stays as it is."""
        x = self.pad(x)
        if len(x.shape) == 1:
            return x
        if x.layer not in self.flattened:
            made = name or self.name(x.tensor, "FLATTEN")
            self.flattened[x.layer] = made
            self.layers.append(Flatten(name=made, input=x.layer))
        return replace(x, layer=self.flattened[x.layer], shape=(prod(x.shape),))

    def arrange(self, x: Activation) -> Activation:
        """Bring the values of an image or a sequence into the usual order; pad it if needed.

        Raises
        ------
        TfliteError
            If no crop and no selection of channels does.
        """
        if x.is_image:
            return x
        if x.tensor.shape[:1] > (1,):
            raise TfliteError([f"reads the parts of an image '{x.tensor.name}'; {ONLY_DILATED}"])
        x = self.pad(x)
        key = x.layer, x.places.shape, x.places.tobytes()
        if key not in self.arranged:
            self.arranged[key] = self.select(x, x.places, x.tensor)
        made = replace(self.arranged[key], tensor=x.tensor)
        if not made.is_image:
            raise TfliteError(
                [f"reads '{x.tensor.name}' {x.tensor.shape}, which is no image of the network"]
            )
        return made

    def complete(self, x: Activation) -> Activation:
        """Repeat values by layers, where a tensor has some more than once."""
        return x if x.is_complete else self.select(x, x.places, x.tensor)

    def select(self, x: Activation, places: IntArray, tensor: FileTensor) -> Activation:
        """Add layers that keep the values at some places, as a tensor of the file.

        Images are cropped, and channels selected, where that is enough. Other values are selected
        from a vector.
        """
        x = self.pad(x)
        places = places.reshape(tensor.shape)
        if len(x.shape) == 3 and len(tensor.shape) in (2, 3, 4) and tensor.shape[0] == 1:
            size = _image_size(tensor, upright=x.shape[2] == 1)
            selection = find_selection(places.reshape(*size, tensor.shape[-1]), x.shape)
            if selection is not None:
                if any(selection.crops):
                    crop = Pad2d(
                        name=self.name(tensor, "PAD"), input=x.layer, padding=selection.crops
                    )
                    x = self._append(crop, x)
                if selection.stride != (1, 1):
                    strided = MaxPool2d(
                        name=self.name(tensor, "SLICE"),
                        input=x.layer,
                        kernel_size=(1, 1),
                        stride=selection.stride,
                    )
                    x = self._append(strided, x)
                if selection.channels != tuple(range(x.shape[0])):
                    chosen = SelectChannels(
                        name=self.name(tensor, "SELECT"),
                        input=x.layer,
                        channels=selection.channels,
                    )
                    x = self._append(chosen, x)
                if selection.repeats != (1, 1):
                    repeated = Upsample(
                        name=self.name(tensor, "TILE"), input=x.layer, factors=selection.repeats
                    )
                    x = self._append(repeated, x)
                order = image_places(x.shape).reshape(tensor.shape)
                return replace(x, tensor=tensor, places=order)
        x = self.flatten(x)
        if not np.array_equal(places.ravel(), np.arange(x.shape[0])):
            picked = SelectChannels(
                name=self.name(tensor, "SELECT"),
                input=x.layer,
                channels=tuple(places.ravel().tolist()),
            )
            x = self._append(picked, x)
        return replace(x, tensor=tensor, places=np.arange(places.size).reshape(tensor.shape))

    def _append(self, layer: Layer, x: Activation) -> Activation:
        if problems := list(layer.problems([x.shape])):
            raise TfliteError(problems)
        self.layers.append(layer)
        return replace(x, layer=layer.name, shape=layer.output_shape([x.shape]))

    def drop_unread(self, outputs: set[str]) -> None:
        """Drop layers that no output depends on."""
        needed, kept = set(outputs), []
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(layer.inputs)
                kept.append(layer)
        self.layers = kept[::-1]


def _image_size(tensor: FileTensor, *, upright: bool) -> tuple[int, int]:
    """Give height and width of a tensor as an image; a sequence has one row, or one column."""
    match tensor.shape:
        case (_, height, width, _):
            return height, width
        case (_, length, _):
            return (length, 1) if upright else (1, length)
        case _:
            return 1, 1
