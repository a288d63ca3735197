"""Where a graph quantizes activations, and the graph up to there."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from systolith.fuzz.graphs.graph import Graph

__all__ = ["Point", "points_of"]

QUANTIZERS = ("IntQuant", "Quant", "QuantizeLinear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A quantizer.

    Attributes
    ----------
    graph : Graph
        That ends there.
    result : str
        Its tensor.
    before : tuple of str
        The float tensor that it quantizes; none for operators on integers.
    scale : float
        One step.
    floors : bool
        Whether it rounds down.
    """

    graph: Graph
    result: str
    before: tuple[str, ...]
    scale: float
    floors: bool


def points_of(graph: Graph) -> Iterator[Point]:
    """List quantizers of activations, in the order of the graph."""
    nodes = list(graph.model.graph.node)
    constants = {each.name: numpy_helper.to_array(each) for each in graph.model.graph.initializer}
    computed = {each.name for each in graph.model.graph.input} - set(constants)
    for place, node in enumerate(nodes):
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        if not computed & set(node.input):
            continue
        computed |= set(node.output)
        plain = node.op_type in QUANTIZERS
        if not plain and not node.op_type.startswith(("QLinear", "QGemm")):
            continue
        scale = constants.get(node.input[1], np.ones(1)) if plain else np.ones(1)
        yield Point(
            graph=graph.until(nodes[: place + 1]),
            result=str(node.output[0]),
            before=(str(node.input[0]),) if plain else (),
            scale=float(np.max(scale)),
            floors=_mode(node) == "FLOOR",
        )


def _mode(node: NodeProto) -> str:
    for each in node.attribute:
        if each.name == "rounding_mode":
            return str(helper.get_attribute_value(each).decode())
    return ""
