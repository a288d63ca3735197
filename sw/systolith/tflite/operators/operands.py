"""What a reader of an operator works with: its tensors, its options, and the network so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from systolith.network import ActType, Layer, Shape, Tensor
from systolith.tflite.activation import FULL_INTEGER, Activation, Draft, act_type
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileGraph, FileOperator, FileTensor

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
        """Return a computed input that is an image."""
        x = self.activation(number)
        if len(x.shape) != 3:
            raise TfliteError([f"reads a vector, '{x.tensor.name}'; images (1, H, W, C) are read"])
        return x

    def vector(self, number: int) -> Activation:
        """Return a computed input as a vector; an image is flattened."""
        return self.draft.flatten(self.activation(number), f"{self.name}_input")

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
        """Add a layer that computes the operator's result.

        Raises
        ------
        TfliteError
            If the layer does not fit its inputs, or gives another shape than the file says.
        """
        shapes = [x.shape for x in sources]
        if problems := list(layer.problems(shapes)):
            raise TfliteError(problems)
        shape, wanted = layer.output_shape(shapes), network_shape(self.output)
        if shape != wanted:
            raise TfliteError([f"gives shape {wanted}, but the layer gives {shape}"])
        self.draft.layers.append(layer)
        return Activation(layer=layer.name, tensor=self.output, shape=shape)

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
    """Give the shape of an activation in the network: (C, H, W), or (features,).

    Raises
    ------
    TfliteError
        If the batch is not 1, or there are other numbers of axes.
    """
    match tensor.shape:
        case (1, height, width, channels):
            return channels, height, width
        case (1, features):
            return (features,)
        case shape if shape and shape[0] != 1:
            raise TfliteError(
                [f"'{tensor.name}' has a batch of {shape[0]}; convert the model for a batch of 1"]
            )
        case shape:
            raise TfliteError(
                [f"'{tensor.name}' has shape {shape}; (1, H, W, C) and (1, features) are supported"]
            )
