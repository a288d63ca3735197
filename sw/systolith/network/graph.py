"""The integer network: a frozen, self-checking DAG of layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from systolith.network.accumulator import accumulator_bits
from systolith.network.errors import raise_if_any
from systolith.network.layers import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Shape,
)
from systolith.network.numbers import ActType

__all__ = ["INPUT", "IntegerNetwork", "Tensor"]

INPUT = "input"
"""The name by which layers read the network's input."""

MAX_ACCUMULATOR_BITS = 47


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape and type of one activation tensor, without the batch axis."""

    shape: Shape
    type: ActType

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {self.type}"


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerNetwork:
    """A DAG of layers over integer tensors; the contract between training and hardware.

    Parameters
    ----------
    input : Tensor
        Shape (C, H, W) or (features,) and type of the images.
    layers : tuple of Layer
        In an order in which every layer comes after its inputs.
    outputs : tuple of str
        Names of the layers that leave the network; default: the last one.
    name : str
        For messages, modules and files.

    Raises
    ------
    NetworkError
        With every problem of the whole network.
    """

    input: Tensor
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...] = ()
    name: str = "network"
    tensors: Mapping[str, Tensor] = field(init=False, repr=False)
    """Shape and type of the input and of every layer's output, by name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.layers and not self.outputs:
            object.__setattr__(self, "outputs", (self.layers[-1].name,))
        tensors: dict[str, Tensor] = {INPUT: self.input}
        raise_if_any(self._problems(tensors))
        object.__setattr__(self, "tensors", tensors)

    def _problems(self, tensors: dict[str, Tensor]) -> Iterator[str]:
        """Check layer by layer, filling `tensors`; what depends on a wrong layer is not checked."""
        if not self.layers:
            yield "a network needs at least one layer"
        if len(self.input.shape) not in (1, 3) or min(self.input.shape) < 1:
            yield f"input shape must be (C, H, W) or (features,), got {self.input.shape}"
            return
        seen = {INPUT}
        for layer in self.layers:
            if layer.name in seen:
                yield f"layer names must be unique and not '{INPUT}', got '{layer.name}' twice"
            unknown = [name for name in layer.inputs if name not in seen]
            for name in unknown:
                yield f"layer '{layer.name}': reads '{name}', which is not defined before it"
            seen.add(layer.name)
            if all(name in tensors for name in layer.inputs):
                problems = list(_check(layer, [tensors[name] for name in layer.inputs]))
                yield from (f"layer '{layer.name}': {problem}" for problem in problems)
                if not problems:
                    tensors[layer.name] = _output(layer, [tensors[name] for name in layer.inputs])
        for name in self.outputs:
            if name not in seen:
                yield f"output '{name}' is no layer of the network"
        read = {name for layer in self.layers for name in layer.inputs} | set(self.outputs)
        for layer in self.layers:
            if layer.name not in read:
                yield f"layer '{layer.name}': its result is read by no layer and is no output"

    def __getitem__(self, name: str) -> Layer:
        """Look a layer up by name; KeyError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def inputs_of(self, layer: Layer) -> list[Tensor]:
        """Shapes and types of what `layer` reads."""
        return [self.tensors[name] for name in layer.inputs]


def _check(layer: Layer, inputs: list[Tensor]) -> Iterator[str]:
    problems = list(layer.problems([tensor.shape for tensor in inputs]))
    yield from problems
    if not problems:
        bits = accumulator_bits(layer, [(tensor.shape, tensor.type) for tensor in inputs])
        if bits > MAX_ACCUMULATOR_BITS:
            yield f"needs a {bits}-bit accumulator; at most {MAX_ACCUMULATOR_BITS} are supported"


def _output(layer: Layer, inputs: list[Tensor]) -> Tensor:
    shape = layer.output_shape([tensor.shape for tensor in inputs])
    match layer:
        case MaxPool2d() | Flatten():
            return Tensor(shape, inputs[0].type)
        case Conv2d() | Linear() | Add() | AvgPool2d():
            return Tensor(shape, layer.output)
