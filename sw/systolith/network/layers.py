"""The layers of an integer network: frozen data that checks itself.

A layer names its inputs; shapes and types of those come from the network. Images are ``(C, H, W)``,
vectors ``(features,)``; the batch axis is never part of a shape here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from systolith.network._fields import Fields, repr_of
from systolith.network._layer_checks import (
    Padding,
    Shape,
    finish,
    shape_problems,
)
from systolith.network.numbers import ActType, Requantize
from systolith.network.pooling import AvgPool2d, MaxPool2d
from systolith.network.weighted import Conv2d, Linear

ADDED_MULTIPLIER_BITS = 16
"""Bit width of the Add multipliers."""

__all__ = [
    "ADDED_MULTIPLIER_BITS",
    "Add",
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Padding",
    "Shape",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Add:
    """Residual addition of two tensors, each brought to a common scale.

    ``acc = (a - zero_a) * multipliers[0] + (b - zero_b) * multipliers[1]``, then
    :class:`Requantize`.

    Parameters
    ----------
    inputs : pair of str
        The layers added.
    multipliers : pair of int
        1..65535.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    inputs: tuple[str, str]
    multipliers: tuple[int, int]
    requantize: Requantize
    output: ActType

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        given = self.inputs
        if (
            isinstance(given, tuple | list)
            and len(given) == 2
            and all(isinstance(name, str) for name in given)
        ):
            object.__setattr__(self, "inputs", tuple(given))
        else:
            fields.problems.append(f"inputs must be the names of two layers, got {repr_of(given)}")
        if fields.integers("multipliers", 2) and not all(
            1 <= multiplier < 1 << ADDED_MULTIPLIER_BITS for multiplier in self.multipliers
        ):
            fields.problems.append(f"multipliers must lie in 1..65535, got {self.multipliers}")
        fields.instance("requantize", Requantize)
        fields.instance("output", ActType)
        finish(fields, self.name)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of either input."""
        return inputs[0]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
            return
        if inputs[0] != inputs[1]:
            yield (
                f"adds tensors of equal shape, but '{self.inputs[0]}' has {inputs[0]} "
                f"and '{self.inputs[1]}' has {inputs[1]}"
            )
        yield from self.requantize.problems(inputs[0][0], self.output)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flatten:
    """An image (C, H, W) as a vector (C*H*W,), channels outermost, as in PyTorch."""

    name: str
    input: str

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C*H*W,)."""
        return (prod(inputs[0]),)

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        yield from shape_problems(self.inputs, inputs)


Layer = Conv2d | Linear | Add | MaxPool2d | AvgPool2d | Flatten
