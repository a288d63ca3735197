"""Questions about recorded calls and the layers that are read from them."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from types import UnionType

from torch import fx, nn

from systolith.network import Shape
from systolith.quant.recognition.operations import (
    AddUp,
    FloatLayer,
    Join,
    MatrixMultiply,
    Operation,
)
from systolith.trace import title
from systolith.trace.modules import kind_of

__all__ = [
    "inputs_of",
    "only_origin",
    "reachable_layers",
    "reads_unknown",
    "repeated_calls",
    "shape_misfits",
]

_OWNERS = (nn.Conv2d, nn.Linear)


def inputs_of(node: fx.Node) -> list[fx.Node]:
    """List what an addition or a concatenation reads, in order; some may be the same."""
    names = ("input", "other", "tensors")
    given = [*node.args, *(node.kwargs[name] for name in names if name in node.kwargs)]
    sides = given[0] if isinstance(given[0], tuple | list) else given
    return [side for side in sides if isinstance(side, fx.Node)]


def shape_misfits(node: fx.Node, operation: Operation, shapes: list[Shape]) -> Iterator[str]:
    """Find shapes that PyTorch broadcasts, or maps over more axes, and hardware does not."""
    if isinstance(operation, AddUp) and shapes[0] != shapes[1]:
        yield f"{title(node)}: needs equal shapes, got {shapes[0]} and {shapes[1]}"
    if isinstance(operation, Join) and len({shape[1:] for shape in shapes}) > 1:
        yield f"{title(node)}: needs one height and width, got {', '.join(map(str, shapes))}"
    if isinstance(operation, MatrixMultiply) and len(shapes[0]) != 1:
        yield f"{title(node)}: needs vectors, got {shapes[0]}; flatten before it"


def repeated_calls(nodes: list[fx.Node]) -> Iterator[str]:
    """Name modules with weights that are called more than once."""
    calls = Counter(str(node.target) for node in nodes if node.op == "call_module")
    modules = {str(node.target): node.meta["module"] for node in nodes if node.op == "call_module"}
    for target, count in calls.items():
        if count > 1 and isinstance(modules[target], _OWNERS):
            yield (
                f"'{target}' ({kind_of(modules[target]).__name__}) is called {count} times: each "
                "call is a layer of its own, with weights of its own from now on"
            )


def reachable_layers(layers: list[FloatLayer], outputs: Collection[str]) -> list[FloatLayer]:
    """Keep layers that an output depends on."""
    needed = set(outputs)
    for layer in reversed(layers):
        if layer.name in needed:
            needed.update(layer.inputs)
    return [layer for layer in layers if layer.name in needed]


def only_origin(
    node: fx.Node, operations: Mapping[fx.Node, Operation | None], through: type | UnionType
) -> fx.Node | None:
    """Find the node that computes a node's value, if nothing else reads that value."""
    while True:
        node = node.all_input_nodes[0]
        if len(node.users) > 1 or operations.get(node) is None:
            return None
        if not isinstance(operations[node], through):
            return node


def reads_unknown(
    node: fx.Node,
    unknown: set[fx.Node],
    operations: Mapping[fx.Node, Operation | None],
    through: type | UnionType,
) -> bool:
    """Whether the value that a node changes comes from an unknown one."""
    while True:
        node = node.all_input_nodes[0]
        if node in unknown or not isinstance(operations.get(node), through):
            return node in unknown
