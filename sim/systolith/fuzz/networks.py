"""Random networks: DAGs of every kind of layer, with any number of outputs."""

import numpy as np

from systolith.fuzz.choices import Choices, Seeded
from systolith.fuzz.layers import (
    draw_add,
    draw_average,
    draw_convolution,
    draw_linear,
    draw_maximum,
)
from systolith.fuzz.numbers import draw_act_type
from systolith.network import (
    INPUT,
    Flatten,
    IntArray,
    IntegerNetwork,
    Layer,
    Shape,
    Tensor,
)

__all__ = ["draw_network", "random_images", "random_network", "random_residual_network"]

CHANNELS = (1, 2, 3, 4, 5, 6, 8)
PREFIXES = ("layer", "block.", "wire")


def draw_network(
    choices: Choices, *, most_layers: int = 4, most_pixels: int = 8, additions: int = 25
) -> IntegerNetwork:
    """Choose a network.

    Parameters
    ----------
    choices : Choices
        Which decide.
    most_layers : int
        Besides flattenings.
    most_pixels : int
        Height and width of images.
    additions : int
        Percent of layers that are an addition, if they can.
    """
    return _Drawing(choices, most_pixels).network(most_layers, additions)


def random_network(seed: int, most_layers: int = 4) -> IntegerNetwork:
    """Draw a network of any kind from a seed."""
    return draw_network(Seeded(seed), most_layers=most_layers, additions=10)


def random_residual_network(seed: int, blocks: int = 3) -> IntegerNetwork:
    """Draw convolutions and additions that reach back to any tensor of the same shape."""
    return _Drawing(Seeded(seed), 6, vectors=0).residual_network(blocks)


def random_images(network: IntegerNetwork, count: int, seed: int) -> IntArray:
    """Draw images over the whole range of the input type."""
    act = network.input.type
    rng = np.random.default_rng(seed)
    return rng.integers(act.low, act.high + 1, (count, *network.input.shape))


class _Drawing:
    """A network as far as it is drawn."""

    def __init__(self, choices: Choices, most_pixels: int, vectors: int = 5) -> None:
        self.choices = choices
        self.prefix = choices.one_of(PREFIXES)
        channels = choices.one_of(CHANNELS)
        size = [choices.integer(1, most_pixels) for _ in range(2)]
        shape: Shape = (channels,) if choices.chance(vectors) else (channels, *size)
        self.input = Tensor(shape, draw_act_type(choices))
        self.layers: list[Layer] = []
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.flattened: set[str] = set()

    def network(self, most_layers: int, additions: int) -> IntegerNetwork:
        """Draw layer after layer, each reading the one before or any other."""
        for _ in range(self.choices.integer(1, most_layers)):
            self._draw_layer(self._draw_source(), additions)
        return self._finished()

    def residual_network(self, blocks: int) -> IntegerNetwork:
        """Draw blocks of a convolution and an addition."""
        for _ in range(blocks):
            source = list(self.shapes)[-1]
            body = draw_convolution(
                self.choices, self._name(), source, self.shapes[source], same_size=True
            )
            self._append(body)
            partners = self._partners(body.name)
            self._append(
                draw_add(
                    self.choices,
                    self._name(),
                    (body.name, self.choices.one_of(partners)),
                    self.shapes[body.name],
                )
            )
        return self._finished()

    def _draw_source(self) -> str:
        names = list(self.shapes)
        return self.choices.one_of(names) if self.choices.chance(25) else names[-1]

    def _draw_layer(self, source: str, additions: int) -> None:
        choices, shape = self.choices, self.shapes[source]
        partners = self._partners(source)
        if partners and source not in self.flattened and choices.chance(additions):
            both = (source, choices.one_of(partners))
            self._append(draw_add(choices, self._name(), both, shape))
        elif len(shape) == 1 or choices.chance(10):
            source, shape = self._flat(source)
            self._append(draw_linear(choices, self._name(), source, shape))
        else:
            kind = choices.integer(1, 7)
            draw = draw_maximum if kind == 6 else draw_average if kind == 7 else draw_convolution
            self._append(draw(choices, self._name(), source, shape))

    def _partners(self, source: str) -> list[str]:
        """List what could be added to a tensor; not the image before it, if the tensor is flat."""
        shape = self.shapes[source]
        return [n for n, s in self.shapes.items() if s == shape and n not in self.flattened]

    def _flat(self, source: str) -> tuple[str, Shape]:
        """Flatten an image."""
        if len(self.shapes[source]) == 1:
            return source, self.shapes[source]
        flatten = Flatten(name=self._name(), input=source)
        self._append(flatten)
        self.flattened.add(flatten.name)
        return flatten.name, self.shapes[flatten.name]

    def _name(self) -> str:
        return f"{self.prefix}{len(self.layers)}"

    def _append(self, layer: Layer) -> None:
        shape = layer.output_shape([self.shapes[name] for name in layer.inputs])
        self.layers.append(layer)
        self.shapes[layer.name] = shape

    def _finished(self) -> IntegerNetwork:
        """Let everything leave that nothing reads, and now and then more, in any order."""
        read = {name for layer in self.layers for name in layer.inputs}
        names = [layer.name for layer in self.layers]
        ends = [name for name in names if name not in read]
        others = [name for name in names if name in read]
        outputs = [*ends, *(self.choices.subset(others, 30) if self.choices.chance(25) else [])]
        start = self.choices.integer(0, len(outputs) - 1)
        return IntegerNetwork(
            input=self.input,
            layers=tuple(self.layers),
            outputs=(*outputs[start:], *outputs[:start]),
        )
