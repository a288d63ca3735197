"""Nodes of constants, which are evaluated when the file is read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.values.value import Absent, Constant, QuantizedConstant, Value

__all__ = ["QUANTIZERS", "evaluate_constant", "reorder_constant"]

QUANTIZERS = {"BipolarQuant", "DequantizeLinear", "IntQuant", "Quant", "QuantizeLinear"}
"""Operators that are not evaluated, because they give integers with a scale."""
MOVES = {"Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators that are applied to the integers and the scales of quantized constants."""


def evaluate_constant(
    node: Node, values: Sequence[Value], opsets: Mapping[str, int]
) -> Constant | QuantizedConstant | None:
    """Evaluate a node of constants by ONNX's own definition; None if it reads other values.

    Raises
    ------
    ExchangeError
        If ONNX cannot evaluate it.
    """
    given = [value for value in values if not isinstance(value, Absent)]
    if not given or node.op in QUANTIZERS or node.domain not in ("", "ai.onnx"):
        return None
    first, *others = values
    if isinstance(first, QuantizedConstant) and node.op in MOVES:
        arrays = [value.values if isinstance(value, Constant) else None for value in others]
        if len(arrays) != sum(isinstance(value, Constant | Absent) for value in others):
            return None
        full = np.array(np.broadcast_to(first.scale, first.integers.shape))
        return QuantizedConstant(
            integers=_run(node, [first.integers, *arrays], opsets),
            scale=_run(node, [full, *arrays], opsets),
            bits=first.bits,
        )
    if not all(isinstance(value, Constant) for value in given):
        return None
    arrays = [value.values if isinstance(value, Constant) else None for value in values]
    return Constant(values=_run(node, arrays, opsets))


def reorder_constant(value: Value, order: tuple[int, ...]) -> Value:
    """Transpose a constant if it has as many axes as `order`; others stay."""
    match value:
        case Constant(values=array) if array.ndim == len(order):
            return Constant(values=array.transpose(order))
        case QuantizedConstant(integers=integers, scale=scale) if integers.ndim == len(order):
            return replace(value, integers=integers.transpose(order), scale=scale.transpose(order))
        case _:
            return value


def _run(
    node: Node, arrays: Sequence[NDArray[Any] | None], opsets: Mapping[str, int]
) -> NDArray[Any]:
    names = ["" if array is None else f"x{place}" for place, array in enumerate(arrays)]
    feeds = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    try:
        (result,) = ReferenceEvaluator(_model(node, names, feeds, opsets)).run(None, feeds)
    except Exception as error:  # ONNX raises whatever its NumPy code does.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ExchangeError.of(f"cannot be computed from its constants: {reason[0]}") from error
    return np.asarray(result)


def _model(
    node: Node,
    names: Sequence[str],
    feeds: Mapping[str, NDArray[Any]],
    opsets: Mapping[str, int],
) -> ModelProto:
    graph = helper.make_graph(
        [helper.make_node(node.op, names, ["y"], **node.attributes)],
        "constants",
        [
            helper.make_tensor_value_info(name, _element(array), array.shape)
            for name, array in feeds.items()
        ],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
    )
    version = opsets.get("", 0)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", version)] if version else None
    )


def _element(array: NDArray[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))
