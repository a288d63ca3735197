"""The integer network: a frozen, self-checking DAG of layers."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from systolith.network._fields import Fields, repr_of
from systolith.network.errors import NetworkError
from systolith.network.layers import Add, Concat, Layer, Multiply, Pad2d, Requantized, Table
from systolith.network.numbers import signed_bits
from systolith.network.tensor import Tensor

__all__ = ["INPUT", "IntegerNetwork", "identifier", "layer_problems", "rename_inputs"]

INPUT = "input"
"""Name of the network's input, for layers that read it."""

MAX_ACCUMULATOR_BITS = 47
MAX_PRODUCT_BITS = 63


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerNetwork:
    """A directed acyclic graph of integer layers: the contract between training and hardware.

    Parameters
    ----------
    input : Tensor
        Shape (C, H, W) or (features,) and type of the images.
    layers : tuple of Layer
        Sorted: every layer follows its inputs. Names are unique, also with '.' replaced by '_' as
        in Verilog, and none is ``"input"``. Each result is read by a layer or is an output.
    outputs : tuple of str
        Names of the output layers, none twice; default: the last layer.
    name : str
        Name in messages, modules and files: letters, digits, '_' and '.', no digit or '.' first.

    Raises
    ------
    NetworkError
        With every problem of the network. Layers that depend on a wrong layer are not checked.

    Examples
    --------
    >>> import numpy as np
    >>> from systolith.network import ActType, Flatten, MaxPool2d, forward
    >>> network = IntegerNetwork(
    ...     input=Tensor((1, 2, 2), ActType(bits=4, signed=True)),
    ...     layers=(
    ...         MaxPool2d(name="pool", input="input", kernel_size=(1, 2), stride=(1, 1)),
    ...         Flatten(name="flat", input="pool"),
    ...     ),
    ... )
    >>> print(network.tensors["pool"])
    1x2x1 int4
    >>> forward(network, np.array([[[[3, -8], [-2, -1]]]]))
    {'flat': array([[ 3, -1]])}
    """

    input: Tensor
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...] = ()
    name: str = "network"
    tensors: Mapping[str, Tensor] = field(init=False, repr=False)
    """Shape and type of the input and of every layer's output, by name."""

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", Tensor)
        listed = self._check_lists(fields)
        tensors = {INPUT: self.input} if isinstance(self.input, Tensor) else {}
        if listed:
            fields.problems += _graph_problems(self.layers, self.outputs, tensors)
        fields.finish()
        object.__setattr__(self, "tensors", tensors)

    def _check_lists(self, fields: Fields) -> bool:
        """Make `layers` and `outputs` tuples of the right kinds."""
        before = len(fields.problems)
        for name, kind, what in (("layers", Layer, "layers"), ("outputs", str, "layer names")):
            given = getattr(self, name)
            if not isinstance(given, tuple | list):
                fields.problems.append(f"{name} must be a tuple of {what}, got {repr_of(given)}")
                continue
            object.__setattr__(self, name, tuple(given))
            fields.problems += [
                f"{name} must be a tuple of {what}, but contains {repr_of(item)}"
                for item in given
                if not isinstance(item, kind)
            ]
        if len(fields.problems) > before:
            return False
        if self.layers and not self.outputs:
            object.__setattr__(self, "outputs", (self.layers[-1].name,))
        return True

    def __getitem__(self, name: str) -> Layer:
        """Return a layer by name; raises KeyError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def inputs_of(self, layer: Layer) -> list[Tensor]:
        """Return shapes and types of the inputs of `layer`."""
        return [self.tensors[name] for name in layer.inputs]


def _graph_problems(
    layers: tuple[Layer, ...], outputs: tuple[str, ...], tensors: dict[str, Tensor]
) -> Iterator[str]:
    """Check each layer whose inputs are right, and fill `tensors`."""
    if not layers:
        yield "a network needs at least one layer"
    yield from _name_problems(layers)
    defined = {INPUT}
    for layer in layers:
        for name in layer.inputs:
            if name not in defined:
                yield f"layer '{layer.name}': reads {name!r}, which is not defined before it"
        defined.add(layer.name)
        if all(name in tensors for name in layer.inputs):
            inputs = [tensors[name] for name in layer.inputs]
            problems = layer_problems(layer, inputs)
            if not problems:
                try:
                    tensors[layer.name] = _output(layer, inputs)
                except NetworkError as error:
                    problems = [f"its result: {problem}" for problem in error.problems]
            yield from (f"layer '{layer.name}': {problem}" for problem in problems)
    names = {layer.name for layer in layers}
    for name, count in Counter(outputs).items():
        if name not in names:
            yield f"output {name!r} is no layer of the network"
        if count > 1:
            yield f"outputs must be different layers, got {name!r} {count} times"
    read = {name for layer in layers for name in layer.inputs}.union(outputs)
    for layer in layers:
        if layer.name not in read:
            yield f"layer '{layer.name}': its result is read by no layer and is no output"


def identifier(layer: str) -> str:
    """Replace the dots of a layer's name: ``block.0`` of PyTorch is ``block_0`` in Verilog.

    The layers of a network have different identifiers.
    """
    return layer.replace(".", "_")


def _name_problems(layers: tuple[Layer, ...]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for layer in layers:
        if layer.name == INPUT:
            yield f"no layer may have the name '{INPUT}', which is the network's input"
        first = seen.setdefault(identifier(layer.name), layer.name)
        if first == layer.name:
            continue
        yield f"layer names must differ when '.' is read as '_', got '{first}' and '{layer.name}'"
    for name, count in Counter(layer.name for layer in layers).items():
        if count > 1:
            yield f"layer names must be unique, got '{name}' {count} times"


def layer_problems(layer: Layer, inputs: Sequence[Tensor]) -> list[str]:
    """List what does not fit these inputs, including the width of the accumulator."""
    problems = list(layer.problems([tensor.shape for tensor in inputs]))
    if not problems and isinstance(layer, Table | Concat | Pad2d | Add):
        problems += layer.type_problems([tensor.type for tensor in inputs])
    if problems or not isinstance(layer, Requantized):
        return problems
    bits = signed_bits(*layer.accumulator_range(inputs))
    if bits > MAX_ACCUMULATOR_BITS:
        return [f"needs a {bits}-bit accumulator; at most {MAX_ACCUMULATOR_BITS} are supported"]
    multiplier_bits = layer.requantize.most_multiplier.bit_length()
    if bits + multiplier_bits > MAX_PRODUCT_BITS:
        given = f"a {bits}-bit accumulator and requantizes with {multiplier_bits}-bit multipliers"
        return [f"needs {given}; together at most {MAX_PRODUCT_BITS} bits are supported"]
    return []


def _output(layer: Layer, inputs: list[Tensor]) -> Tensor:
    shape = layer.output_shape([tensor.shape for tensor in inputs])
    return Tensor(shape, layer.output_type([tensor.type for tensor in inputs]))


def rename_inputs(layer: Layer, source: Callable[[str], str]) -> Layer:
    """Return a layer that reads others: `source` gives the new name of each input."""
    if isinstance(layer, Add | Multiply):
        first, second = layer.inputs
        return replace(layer, inputs=(source(first), source(second)))
    if isinstance(layer, Concat):
        return replace(layer, inputs=tuple(source(name) for name in layer.inputs))
    return replace(layer, input=source(layer.inputs[0]))
