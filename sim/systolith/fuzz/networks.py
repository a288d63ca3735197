"""Draw networks: DAGs of every kind of layer, with any number of outputs."""

from systolith.fuzz.choices import Choices
from systolith.fuzz.layers import (
    draw_act_type,
    draw_add,
    draw_average,
    draw_convolution,
    draw_linear,
    draw_maximum,
    draw_product,
    draw_table,
)
from systolith.fuzz.moving import (
    draw_blocks,
    draw_concat,
    draw_pad,
    draw_selection,
    draw_upsample,
)
from systolith.fuzz.single_bits import draw_single_bits
from systolith.fuzz.tflite_scales import draw_tflite_scales
from systolith.network import (
    INPUT,
    MAX_TABLE_BITS,
    ActType,
    ArgMax,
    Flatten,
    IntegerNetwork,
    Layer,
    Shape,
    Tensor,
)

__all__ = ["NetworkDrawing", "draw_network"]

CHANNELS = (1, 2, 3, 4, 5, 6, 8)
TABLES = 10
"""Percentage of layers that are tables, where the input is narrow enough."""
PRODUCTS = 35
"""Percentage of layers of two tensors that multiply them; the others add them."""
CLASSES = 4
"""Percentage of layers that find the greatest channel."""
MOVES = 25
"""Percentage of layers that only move values."""
MOST_JOINED = 48
"""Most channels of a concatenation."""
PADS = 15
"""Percentage of padding and upsamplings among layers of images."""
MOST_ENLARGED = 30
"""Most pixels of an image that is upsampled, so that simulations stay short."""
PREFIXES = ("layer", "block.", "wire")


def draw_network(
    choices: Choices, *, most_layers: int = 4, most_pixels: int = 8, additions: int = 25
) -> IntegerNetwork:
    """Draw a network.

    Parameters
    ----------
    choices : Choices
        Source of all choices.
    most_layers : int
        Most layers, not counting flattenings.
    most_pixels : int
        Most rows and most columns of images.
    additions : int
        Percentage of layers that are additions, where the graph allows them.
    """
    return NetworkDrawing(choices, most_pixels).draw(most_layers, additions)


class NetworkDrawing:
    """A network while it is drawn.

    Parameters
    ----------
    choices : Choices
    most_pixels : int
        Most rows and most columns of images.
    vectors : int
        Percentage of networks whose input is a vector.
    """

    def __init__(self, choices: Choices, most_pixels: int, vectors: int = 5) -> None:
        self.choices = choices
        self.prefix = choices.one_of(PREFIXES)
        channels = choices.one_of(CHANNELS)
        size = [choices.integer(1, most_pixels) for _ in range(2)]
        shape: Shape = (channels,) if choices.chance(vectors) else (channels, *size)
        self.input = Tensor(shape, draw_act_type(choices))
        self.layers: list[Layer] = []
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.types: dict[str, ActType] = {INPUT: self.input.type}
        self.flattened: set[str] = set()

    def draw(self, most_layers: int, additions: int) -> IntegerNetwork:
        """Draw layer after layer; each reads the last or any other layer."""
        for _ in range(self.choices.integer(1, most_layers)):
            self._draw_layer(self._draw_source(), additions)
        return draw_single_bits(self.choices, self.finish(), most_layers)

    def _draw_source(self) -> str:
        names = list(self.shapes)
        return self.choices.one_of(names) if self.choices.chance(25) else names[-1]

    def _draw_layer(self, source: str, additions: int) -> None:
        choices, shape = self.choices, self.shapes[source]
        if source not in self.flattened and choices.chance(MOVES):
            self._draw_move(source)
            return
        if source not in self.flattened and choices.chance(CLASSES):
            self.append(ArgMax(name=self.next_name(), input=source, classes=shape[0]))
            return
        partners = self.partners(source)
        if partners and source not in self.flattened and choices.chance(additions):
            both = (source, choices.one_of(partners))
            draw_both = draw_product if choices.chance(PRODUCTS) else draw_add
            self.append(draw_both(choices, self.next_name(), both, shape))
        elif self._takes_table(source) and choices.chance(TABLES):
            self.append(draw_table(choices, self.next_name(), source, self.types[source]))
        elif len(shape) == 3 and choices.chance(PADS):
            self._draw_resized(source)
        elif len(shape) == 1 or choices.chance(10):
            source, shape = self._flat(source)
            self.append(draw_linear(choices, self.next_name(), source, shape))
        else:
            kind = choices.integer(1, 7)
            draw = draw_maximum if kind == 6 else draw_average if kind == 7 else draw_convolution
            self.append(draw(choices, self.next_name(), source, shape))

    def _draw_resized(self, source: str) -> None:
        """Draw padding, or, of a small image, an upsampling."""
        choices, shape, name = self.choices, self.shapes[source], self.next_name()
        if shape[1] * shape[2] > MOST_ENLARGED or choices.chance(60):
            self.append(draw_pad(choices, name, source, shape, self.types[source]))
        else:
            self.append(draw_upsample(choices, name, source))

    def _takes_table(self, source: str) -> bool:
        """Whether a table can read a tensor; no engine has one for flattened tensors."""
        return self.types[source].bits <= MAX_TABLE_BITS and source not in self.flattened

    def _draw_move(self, source: str) -> None:
        """Draw a layer that only moves channels or pixels."""
        choices, shape, name = self.choices, self.shapes[source], self.next_name()
        alike = self._alike(source)
        kind = choices.integer(1, 4)
        blocks = draw_blocks(choices, name, source, shape) if kind == 1 and shape[1:] else None
        if blocks is not None:
            self.append(blocks)
        elif kind == 4 or 3 * max(self.shapes[other][0] for other in alike) > MOST_JOINED:
            self.append(draw_selection(choices, name, source, shape))
        else:
            self.append(draw_concat(choices, name, source, alike))

    def _alike(self, source: str) -> list[str]:
        """List the tensors that can be joined with a tensor, itself included."""
        size, act = self.shapes[source][1:], self.types[source]
        return [
            name
            for name, shape in self.shapes.items()
            if shape[1:] == size and self.types[name] == act and name not in self.flattened
        ]

    def partners(self, source: str) -> list[str]:
        """List the tensors that can be added to a tensor; flattened tensors cannot."""
        shape = self.shapes[source]
        return [n for n, s in self.shapes.items() if s == shape and n not in self.flattened]

    def _flat(self, source: str) -> tuple[str, Shape]:
        """Flatten an image."""
        if len(self.shapes[source]) == 1:
            return source, self.shapes[source]
        flatten = Flatten(name=self.next_name(), input=source)
        self.append(flatten)
        self.flattened.add(flatten.name)
        return flatten.name, self.shapes[flatten.name]

    def next_name(self) -> str:
        """Name the next layer."""
        return f"{self.prefix}{len(self.layers)}"

    def append(self, layer: Layer) -> None:
        """Add a layer."""
        shape = layer.output_shape([self.shapes[name] for name in layer.inputs])
        self.layers.append(layer)
        self.shapes[layer.name] = shape
        self.types[layer.name] = layer.output_type([self.types[name] for name in layer.inputs])

    def finish(self) -> IntegerNetwork:
        """Make all layers that nothing reads outputs, and sometimes others, in any order."""
        read = {name for layer in self.layers for name in layer.inputs}
        names = [layer.name for layer in self.layers]
        ends = [name for name in names if name not in read]
        others = [name for name in names if name in read]
        outputs = [*ends, *(self.choices.subset(others, 30) if self.choices.chance(25) else [])]
        start = self.choices.integer(0, len(outputs) - 1)
        network = IntegerNetwork(
            input=self.input,
            layers=tuple(self.layers),
            outputs=(*outputs[start:], *outputs[:start]),
        )
        return draw_tflite_scales(self.choices, network)
