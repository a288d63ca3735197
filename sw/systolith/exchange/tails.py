"""What stands at the end of a model and is left to the host, such as Softmax."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from systolith.exchange.model_file import ModelFile, Node
from systolith.exchange.rewrites import LEFT_TO_HOST

__all__ = ["Tailless", "without_tail"]

CARRIES_ON = {"Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape"}
"""What may come after, up to the model's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tailless:
    """A model that ends earlier.

    Attributes
    ----------
    model : ModelFile
    instead : dict of str to str
        By output of this model: the output of the file that is computed from it by the host.
    notes : tuple of str
        What was left out.
    """

    model: ModelFile
    instead: Mapping[str, str]
    notes: tuple[str, ...]


def without_tail(model: ModelFile) -> Tailless:
    """Let the model end before a last Softmax or the like, without what no output depends on."""
    read = [name for node in model.nodes for name in node.inputs]
    maker = {name: node for node in model.nodes for name in node.outputs if name}
    outputs, instead, notes, gone = [], {}, [], set()
    for output in model.outputs:
        tail, name = _tail(output, maker)
        # What something else reads, too, is no end.
        inner = [each for node in tail for each in node.outputs if each != output]
        if not tail or any(read.count(each) > 1 for each in inner) or output in read:
            outputs.append(output)
            continue
        outputs.append(name)
        instead[name] = output
        gone |= {id(node) for node in tail}
        notes.append(
            f"{tail[-1]} at the end is left to the host: the network gives '{name}', which it reads"
        )
    nodes = _needed([node for node in model.nodes if id(node) not in gone], outputs)
    found = replace(model, nodes=nodes, outputs=tuple(dict.fromkeys(outputs)))
    return Tailless(model=found, instead=instead, notes=tuple(notes))


def _tail(output: str, maker: Mapping[str, Node]) -> tuple[list[Node], str]:
    """Nodes from an output back to what is left to the host, and what that reads."""
    tail, name, found, start = [], output, 0, output
    while (node := maker.get(name)) is not None and node.op in (*CARRIES_ON, *LEFT_TO_HOST):
        tail.append(node)
        name = node.inputs[0]
        if node.op in LEFT_TO_HOST:
            found, start = len(tail), name
    return tail[:found], start


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """The nodes that outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
