"""ONNX's own shape inference of single nodes, kept from what crashes it."""

from collections.abc import Mapping

import onnx
from onnx import AttributeProto, NodeProto, TensorProto, TypeProto, defs

__all__ = ["inferred_types"]

DIVISORS = {"blocksize", "group", "num_outputs", "strides"}
"""Attributes that inference divides by, in C++: 0 ends the whole process."""
WITH_GRAPHS = {AttributeProto.GRAPH, AttributeProto.GRAPHS}
"""Of Scan, Loop and If, whose graphs inference does not always survive."""


def inferred_types(
    node: NodeProto,
    versions: Mapping[str, int],
    types: Mapping[str, TypeProto],
    data: Mapping[str, TensorProto],
) -> Mapping[str, TypeProto]:
    """Infer the types of a node's results; none if that cannot be.

    Parameters
    ----------
    node : NodeProto
    versions : dict of str to int
        Of operator sets by domain; that of ONNX itself is the latest where it is left out.
    types : dict of str to TypeProto
        Of all that the node reads.
    data : dict of str to TensorProto
        Constants of these.
    """
    if any(_crashes(each) for each in node.attribute):
        return {}
    latest = defs.onnx_opset_version() if not node.domain else 1
    try:
        schema = defs.get_schema(node.op_type, versions.get(node.domain, latest), node.domain)
        found: Mapping[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema, node, dict(types), dict(data)
        )
    except Exception:  # ONNX raises whatever it likes where a node makes no sense.
        return {}
    return found


def _crashes(attribute: AttributeProto) -> bool:
    if attribute.type in WITH_GRAPHS:
        return True
    values = [attribute.i] if attribute.type == AttributeProto.INT else attribute.ints
    return attribute.name in DIVISORS and any(value < 1 for value in values)
