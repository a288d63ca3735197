"""What a reader of an operator works with: its tensors, its options, and the network so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.network import ActType, Layer, Shape, Tensor
from systolith.tflite.activation import FULL_INTEGER, Activation, act_type
from systolith.tflite.draft import Draft
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileGraph, FileOperator, FileTensor
from systolith.tflite.places import image_places

__all__ = ["Call", "network_shape"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One operator of the file.

    Attributes
    ----------
    graph : FileGraph
    operator : FileOperator
    name : str
        Name of its layer.
    values : mapping of int to Activation
        By number of tensor.
    draft : Draft
    """

    graph: FileGraph
    operator: FileOperator
    name: str
    values: Mapping[int, Activation]
    draft: Draft

    def tensor(self, number: int) -> FileTensor:
        """Return input `number` of the operator, constant or computed."""
        return self.graph.tensors[self.operator.inputs[number]]

    @property
    def output(self) -> FileTensor:
        """The first result."""
        return self.graph.tensors[self.operator.outputs[0]]

    @property
    def output_type(self) -> ActType:
        """Type of the first result."""
        return act_type(self.output)

    def activation(self, number: int) -> Activation:
        """Return a computed input.

        Raises
        ------
        TfliteError
            If it is constant, or has real numbers.
        """
        index = self.operator.inputs[number]
        if index not in self.values:
            raise TfliteError(
                [f"reads '{self.tensor(number).name}', which is constant; fold constants first"]
            )
        x = self.values[index]
        if x.reals:
            raise TfliteError([f"reads the real numbers '{x.tensor.name}'; {FULL_INTEGER}"])
        return x

    def constant(self, number: int) -> NDArray[Any]:
        """Return the values of a constant input.

        Raises
        ------
        TfliteError
            If it is computed.
        """
        tensor = self.tensor(number)
        if tensor.values is None:
            raise TfliteError([f"reads '{tensor.name}', which must be constant"])
        return tensor.values

    def image(self, number: int) -> Activation:
        """Return a computed input that is an image, in the usual order."""
        x = self.activation(number)
        if len(x.tensor.shape) != 4:
            raise TfliteError(
                [f"reads '{x.tensor.name}' {x.tensor.shape}; images (1, H, W, C) are read"]
            )
        return self.draft.arrange(x)

    def unpadded(self, number: int) -> Activation:
        """Return a computed input; padding becomes a layer of its own."""
        return self.draft.pad(self.activation(number))

    def unused(self, part: str) -> str:
        """Name a layer that computes a part of the operator."""
        name, taken = f"{self.name}_{part}", {layer.name for layer in self.draft.layers}
        while name in taken:
            name += "_"
        return name

    def network_tensor(self, x: Activation) -> Tensor:
        """Give shape and type of an activation in the network."""
        return Tensor(x.shape, x.type)

    def append(self, layer: Layer, sources: Sequence[Activation]) -> Activation:
        """Add a layer that computes the operator's result, in the usual order.

        Raises
        ------
        TfliteError
            If the layer does not fit its inputs, or gives another shape than the file says.
        """
        wanted = network_shape(self.output)
        x = self.append_ordered(layer, sources)
        if x.shape != wanted:
            raise TfliteError([f"gives shape {wanted}, but the layer gives {x.shape}"])
        return x

    def append_ordered(self, layer: Layer, sources: Sequence[Activation]) -> Activation:
        """Add a layer whose result has the usual order; the file may give it other axes."""
        shape, output = self._append(layer, sources), self.output
        if prod(shape) != prod(output.shape):
            raise TfliteError([f"gives {output.shape}, but the layer gives {shape}"])
        places = image_places(shape) if len(shape) == 3 else np.arange(shape[0])
        return Activation(
            layer=layer.name, tensor=output, shape=shape, places=places.reshape(output.shape)
        )

    def append_alike(self, layer: Layer, sources: Sequence[Activation]) -> Activation:
        """Add a layer whose values lie where those of the first source do."""
        shape, output = self._append(layer, sources), self.output
        places = sources[0].places.reshape(output.shape)
        return Activation(layer=layer.name, tensor=output, shape=shape, places=places)

    def _append(self, layer: Layer, sources: Sequence[Activation]) -> Shape:
        shapes = [x.shape for x in sources]
        if problems := list(layer.problems(shapes)):
            raise TfliteError(problems)
        self.draft.layers.append(layer)
        return layer.output_shape(shapes)

    def append_all(self, layers: Sequence[Layer], source: Activation) -> Activation:
        """Add layers, each behind the one before; the last one computes the operator's result."""
        *first, last = layers
        for layer in first:
            if problems := list(layer.problems([source.shape])):
                raise TfliteError(problems)
            self.draft.layers.append(layer)
            source = replace(source, layer=layer.name, shape=layer.output_shape([source.shape]))
        return self.append(last, [source])


def network_shape(tensor: FileTensor) -> Shape:
    """Give the shape of an activation in the network: (C, H, W), (C, 1, L) or (features,).

    Raises
    ------
    TfliteError
        If the batch is not 1, or there are other numbers of axes.
    """
    match tensor.shape:
        case (1, height, width, channels):
            return channels, height, width
        case (1, length, channels):
            return channels, 1, length
        case (1, features):
            return (features,)
        case shape if shape and shape[0] != 1:
            raise TfliteError(
                [f"'{tensor.name}' has a batch of {shape[0]}; convert the model for a batch of 1"]
            )
        case shape:
            known = "(1, H, W, C), (1, L, C) and (1, features)"
            raise TfliteError([f"'{tensor.name}' has shape {shape}; {known} are supported"])
