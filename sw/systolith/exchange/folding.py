"""Shape arithmetic in ONNX graphs, worked out before the graph is read."""

from onnx import ModelProto, NodeProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.fold_constants import FoldConstants
from qonnx.transformation.infer_shapes import InferShapes

__all__ = ["folded"]

SHAPE_OPERATORS = {"Cast", "Concat", "ConstantOfShape", "Gather", "Shape", "Slice", "Unsqueeze"}
QUANTIZERS = ["BipolarQuant", "DequantizeLinear", "IntQuant", "Quant", "QuantizeLinear"]


def folded(model: ModelProto) -> ModelProto:
    """Replace what depends on constants and sizes only, such as the shape of a flattening.

    Exporters write ``x.view(x.size(0), -1)`` as a handful of nodes that compute a shape. The batch
    becomes 1 for that. Quantizers stay, and so does a graph without such nodes.
    """
    constants = {each.name for each in model.graph.initializer}
    constants |= {each.output[0] for each in model.graph.node if each.op_type == "Constant"}
    if not any(_foldable(node, constants) for node in model.graph.node):
        return model
    fixed = ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    # Sizes that were written down for another batch would contradict.
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    shaped = ModelWrapper(fixed).transform(InferShapes())
    found: ModelProto = shaped.transform(FoldConstants(exclude_op_types=QUANTIZERS)).model
    return found


def _foldable(node: NodeProto, constants: set[str]) -> bool:
    """Whether a node computes a shape, or something from constants."""
    if node.op_type in ("Constant", *QUANTIZERS):
        return False
    return node.op_type in SHAPE_OPERATORS or all(name in constants for name in node.input)
