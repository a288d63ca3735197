"""The class at the end of a file, which the chip finds instead of the host."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from systolith.exchange.file.model_file import Node
from systolith.network import IntArray, IntegerNetwork, NetworkError, Shape, append_argmax

__all__ = ["END_ATTRIBUTES", "ClassEnds", "append_classes"]

CHIP = "the class on the chip"
END_ATTRIBUTES = ("axis", "keepdims", "select_last_index")
"""Attributes that are read of operators at the end; all of ArgMax."""
KEEPS_ORDER = ("Identity", "LogSoftmax", "Sigmoid", "Softmax")
"""Operators between logits and their class that do not change it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassEnds:
    """A network with classes as outputs, and what they are in the file.

    Attributes
    ----------
    network : IntegerNetwork
    tensors : dict of str to str
        Tensor of the file, by output: that of its ArgMax, or of the logits if there is none.
    orders : dict of str to array of int64
        Index of each element of an ArgMax's result in the flattened output.
    notes : tuple of str
    problems : tuple of str
        Why a class of the file is not that of the logits' channels.
    """

    network: IntegerNetwork
    tensors: Mapping[str, str]
    orders: Mapping[str, IntArray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def append_classes(
    network: IntegerNetwork,
    tensors: Mapping[str, str],
    moved: Mapping[str, IntArray],
    ends: Mapping[str, Sequence[Node]],
) -> ClassEnds:
    """Replace each output of an imported network by its class.

    Parameters
    ----------
    network : IntegerNetwork
    tensors : mapping of str to str
        Tensor of the file, by output.
    moved : mapping of str to array
        Outputs whose elements the file orders or shapes differently.
    ends : mapping of str to sequence of Node
        Nodes that are left to the host, last one first, by tensor.
    """
    problems = list(_problems(network, tensors, moved, ends))
    try:
        ended = append_argmax(network)
    except NetworkError as error:
        problems += error.problems
        ended = network
    named, orders, notes = {}, {}, []
    for logits, output in zip(network.outputs, ended.outputs, strict=True):
        node = next((n for n in ends.get(tensors[logits], ()) if n.op == "ArgMax"), None)
        named[output] = tensors[logits] if node is None else node.outputs[0]
        if node is not None and not node.attributes.get("keepdims", 1):
            size: Shape = network.tensors[logits].shape[1:]
            orders[output] = np.arange(prod(size)).reshape(size)
        notes.append(f"output '{output}' is the class of '{tensors[logits]}', found on the chip")
    return ClassEnds(
        network=ended,
        tensors=named,
        orders=orders,
        notes=tuple(notes),
        problems=tuple(problems),
    )


def _problems(
    network: IntegerNetwork,
    tensors: Mapping[str, str],
    moved: Mapping[str, IntArray],
    ends: Mapping[str, Sequence[Node]],
) -> Iterator[str]:
    """Compare the ends of a file with the class of the channels, of equal ones the first."""
    for output in network.outputs:
        tail, rank = ends.get(tensors[output], ()), 1 + len(network.tensors[output].shape)
        if output in moved:
            yield (
                f"output '{tensors[output]}' is ordered or shaped by the file in another way than "
                f"channels, rows, columns: {CHIP} needs these"
            )
        after = True
        for node in tail:
            if node.op == "ArgMax":
                after = False
                axis = node.attributes.get("axis", 0)
                if axis % rank != 1:
                    yield f"{node}: {CHIP} needs axis 1, that of channels, got {axis}"
                if node.attributes.get("select_last_index", 0):
                    yield f"{node}: {CHIP} is the first of equal ones: leave select_last_index out"
            elif node.op in ("TopK", "Hardmax"):
                yield f"{node}: {CHIP} is that of ArgMax: use it instead"
            elif not after and node.op not in KEEPS_ORDER:
                yield f"{node}: {CHIP} is that of its input: move it behind the ArgMax"
            elif node.op in ("Softmax", "LogSoftmax"):
                axis = node.attributes.get("axis", -1)
                if axis % rank != 1:
                    yield f"{node}: {CHIP} needs axis 1, that of channels, got {axis}"
