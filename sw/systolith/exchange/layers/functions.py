"""Functions of each value between a dequantizer and a quantizer, as tables."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import activation_of, is_constant
from systolith.exchange.values.quantizer import Quantizer
from systolith.exchange.values.value import (
    Absent,
    Constant,
    ModelInput,
    PendingTable,
    QuantizedActivation,
    QuantizedConstant,
    Value,
)
from systolith.network import MAX_TABLE_BITS, Flatten, Table, Tensor

__all__ = [
    "apply_function",
    "combine_functions",
    "compute_function",
    "gather_values",
    "quantize_function",
]

Reals = NDArray[np.float32]


def apply_function(node: Node, values: Sequence[Value], draft: Draft) -> PendingTable:
    """Compute a node for each integer of the activation that all its inputs are functions of.

    Raises
    ------
    ExchangeError
        If there is no such activation of at most 8 bits, or a constant is not one number.
    """
    given = [
        value
        if is_constant(value) or isinstance(value, Absent | PendingTable)
        else activation_of(value, draft)
        for value in values
    ]
    sources = [value for value in given if isinstance(value, QuantizedActivation | PendingTable)]
    found = _common_source(sources, draft)
    if found is None:
        raise ExchangeError.of(
            "combines what depends on different tensors; functions of one tensor are supported"
        )
    source, columns = found
    if any(source.padding):
        raise ExchangeError.of("changes the zeros of a padded image; pad after it")
    if draft.lenient:
        return PendingTable(name=node.name, of=source, reals=columns[0])
    if (bits := source.tensor.type.bits) > MAX_TABLE_BITS:
        raise ExchangeError.of(
            f"reads integers of {bits} bits; functions of up to {MAX_TABLE_BITS} bits are "
            "supported: put a quantizer before"
        )
    rest = iter(columns)
    arrays = [
        next(rest) if isinstance(value, QuantizedActivation | PendingTable) else _number(value)
        for value in given
    ]
    return PendingTable(name=node.name, of=source, reals=compute_function(node, arrays, draft))


def combine_functions(node: Node, values: Sequence[Value], draft: Draft) -> PendingTable | None:
    """Compute arithmetic of functions of one activation; None if it is something else."""
    if any(isinstance(value, PendingTable) for value in values):
        return apply_function(node, values, draft)
    activations: list[QuantizedActivation] = []
    for value in values:
        if isinstance(value, ModelInput) and value.quantizer is not None and len(values) == 2:
            value = draft.read_input(value)
        if isinstance(value, QuantizedActivation):
            activations.append(value)
    if len(activations) != 2 or len(values) != 2:
        return None
    tables = any(value.layer in draft.functions for value in activations)
    same = node.op in ("Mul", "Div", "Sub")
    if not (tables or same) or _common_source(activations, draft) is None:
        return None
    return apply_function(node, values, draft)


def gather_values(node: Node, values: Sequence[Value], draft: Draft) -> PendingTable:
    """Read Gather of constants, by places that are a function of an activation."""
    table, places = values[0], values[1]
    if not isinstance(table, Constant) or not isinstance(places, PendingTable):
        raise ExchangeError.of("takes parts of what the model computes; constants are supported")
    if table.values.ndim != 1 or node.attributes["axis"]:
        shape, axis = table.values.shape, node.attributes["axis"]
        raise ExchangeError.of(
            f"reads constants of shape {shape} along axis {axis}; one axis is supported"
        )
    indices = places.reals.astype(np.int64)
    if indices.min() < -table.values.size or indices.max() >= table.values.size:
        raise ExchangeError.of(
            f"reads places {indices.min()}..{indices.max()} of {table.values.size}"
        )
    return replace(places, name=node.name, reals=table.values[indices].astype(np.float32))


def quantize_function(x: PendingTable, quantizer: Quantizer, draft: Draft) -> QuantizedActivation:
    """Add a table of the integers that a quantizer makes of a function."""
    key = (x, quantizer)
    if key in draft.cache and not draft.lenient:
        return draft.cache[key]
    act = quantizer.type
    tensor = Tensor(x.of.tensor.shape, act)
    if draft.lenient:
        return QuantizedActivation(layer="unknown", tensor=tensor, scale=quantizer.scale)
    values = quantizer.quantize_float32(np.nan_to_num(x.reals))
    source = x.of.layer
    before = next((layer for layer in draft.layers if layer.name == source), None)
    if isinstance(before, Flatten):
        source = before.input  # a function of each value commutes with a flattening
    name = draft.add_layer(x.name, Table(name="table", input=source, values=values, output=act))
    if isinstance(before, Flatten):
        name = draft.add_layer(f"{x.name}_flatten", Flatten(name="flatten", input=name))
    made = QuantizedActivation(layer=name, tensor=tensor, scale=quantizer.scale, places=x.of.places)
    draft.functions[name] = x.of, values - act.low
    draft.cache[key] = made
    return made


def _common_source(
    values: Sequence[QuantizedActivation | PendingTable], draft: Draft
) -> tuple[QuantizedActivation, list[Reals]] | None:
    """Find the nearest activation that all values are functions of, and their real values."""
    first, *others = [list(_sources(value, draft)) for value in values]
    for source, reals in first:
        columns = [reals]
        for other in others:
            columns += [
                column
                for candidate, column in other
                if candidate.layer == source.layer
                and candidate.padding == source.padding
                and _same_places(candidate, source)
            ][:1]
        if len(columns) == len(values):
            return source, columns
    return None


def _same_places(a: QuantizedActivation, b: QuantizedActivation) -> bool:
    if a.places is None or b.places is None:
        return a.places is b.places
    return np.array_equal(a.places, b.places)


def _sources(
    value: QuantizedActivation | PendingTable, draft: Draft
) -> Iterator[tuple[QuantizedActivation, Reals]]:
    """Yield activations that a value is a function of, nearest first, and its real values."""
    if isinstance(value, PendingTable):
        source, reals = value.of, value.reals
    else:
        source, reals = value, value.real_values
    while True:
        yield source, reals
        if source.layer not in draft.functions or any(source.padding):
            return
        source, places = draft.functions[source.layer]
        reals = reals[places]


def _number(value: Value) -> NDArray[Any] | None:
    """Give a constant of one number; None if it is left out."""
    match value:
        case Absent():
            return None
        case Constant(values=values):
            array = values
        case QuantizedConstant():
            array = value.real.astype(np.float32)
        case _:
            raise AssertionError("activations have been evaluated")
    if array.size != 1:
        raise ExchangeError.of(
            f"has constants of shape {array.shape}; one number is supported here"
        )
    return array.reshape(() if array.ndim == 0 else (1,))


def compute_function(node: Node, arrays: Sequence[NDArray[Any] | None], draft: Draft) -> Reals:
    """Run a node on numbers, in ONNX Runtime."""
    import onnxruntime

    names = ["" if array is None else f"x{place}" for place, array in enumerate(arrays)]
    feeds = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    attributes = {name: value for name, value in node.attributes.items() if value is not None}
    made = helper.make_node(node.op, names, ["y"], domain=node.domain, **attributes)
    inputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in feeds.items()
    ]
    element = node.attributes["to"] if node.op == "Cast" else TensorProto.FLOAT
    output = helper.make_tensor_value_info("y", element, None)
    graph = helper.make_graph([made], "function", inputs, [output])
    domain = "" if node.domain == "ai.onnx" else node.domain
    opsets = [helper.make_opsetid(domain, draft.opsets.get(domain, 1))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        (result,) = session.run(None, feeds)
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise ExchangeError.of(f"ONNX Runtime cannot compute it: {error}") from error
    return np.asarray(result)
