"""Mapping of a graph of hls4ml to an integer network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.attributes import attribute_problems
from systolith.hls4ml_backend.fixed_type import FixedType, fixed_type, type_problem
from systolith.hls4ml_backend.form import Cast
from systolith.hls4ml_backend.inputs import MappedInputs, list_entries, map_inputs
from systolith.hls4ml_backend.layers.activations import (
    ACTIVATION_KINDS,
    activation_problem,
    map_activation,
)
from systolith.hls4ml_backend.layers.merging import MERGED, map_concatenate, map_merge
from systolith.hls4ml_backend.layers.moving import (
    map_cropping,
    map_reshape,
    map_resize,
    map_transpose,
    map_zero_padding,
)
from systolith.hls4ml_backend.layers.pools import is_average, map_average_pool, map_max_pool
from systolith.hls4ml_backend.layers.refused import REFUSED
from systolith.hls4ml_backend.layers.weighted import (
    map_batch_norm,
    map_convolution,
    map_dense,
    map_depthwise,
)
from systolith.hls4ml_backend.project import ConversionError
from systolith.hls4ml_backend.tensors import PendingTensor, TraceRecipe
from systolith.network import (
    INPUT,
    IntArray,
    IntegerNetwork,
    NetworkError,
)

__all__ = ["MappedModel", "ModelOutput", "map_graph"]

WEIGHTED: Mapping[
    str, Callable[[Assembly, Any, PendingTensor, str | None], PendingTensor | None]
] = {
    "Dense": map_dense,
    "Conv1D": map_convolution,
    "Conv2D": map_convolution,
    "Conv2DBatchnorm": map_convolution,
    "PointwiseConv1D": map_convolution,
    "PointwiseConv2D": map_convolution,
    "DepthwiseConv1D": map_depthwise,
    "DepthwiseConv2D": map_depthwise,
    "BatchNormalization": map_batch_norm,
    "ApplyAlpha": map_batch_norm,
}
SHAPED: Mapping[str, Callable[[Assembly, Any, PendingTensor], PendingTensor | None]] = {
    "Reshape": map_reshape,
    "Transpose": map_transpose,
    "ZeroPadding1D": map_zero_padding,
    "ZeroPadding2D": map_zero_padding,
    "Cropping1D": map_cropping,
    "Cropping2D": map_cropping,
    "Resize": map_resize,
}
POOLS = ("Pooling1D", "Pooling2D", "GlobalPooling1D", "GlobalPooling2D")
ADD_PADDING = (
    *("ZeroPadding1D", "ZeroPadding2D", *POOLS),
    *(kind for kind in WEIGHTED if "Conv" in kind),
)
"""Classes that add the padding of the layer before them by themselves, where they can."""
MERGES: Mapping[str, Callable[[Assembly, Any, list[PendingTensor]], PendingTensor | None]] = {
    "Merge": map_merge,
    "Concatenate": map_concatenate,
}
POOLS = ("Pooling1D", "Pooling2D", "GlobalPooling1D", "GlobalPooling2D")
SUPPORTED = ("Input", *WEIGHTED, *POOLS, *SHAPED, *MERGES, *ACTIVATION_KINDS)
LISTED = ", ".join((*SUPPORTED, "Softmax as the last layer"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput:
    """An output of the model.

    Attributes
    ----------
    layer : str
        Output layer of the network.
    fraction : int
        Fractional bits: real values are integers times ``2**-fraction``.
    view : array of int64
        Index of each element in the flattened output, in hls4ml's order and shape.
    """

    layer: str
    fraction: int
    view: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedModel:
    """An integer network made from a graph of hls4ml.

    Attributes
    ----------
    network : IntegerNetwork
    input : FixedType
        Type that inputs are converted to.
    input_views : tuple of array of int64
        By input, index of each element of hls4ml's input in the flattened input of the network.
    outputs : tuple of ModelOutput
        In the model's order.
    recipes : dict of str to TraceRecipe
        How to compute the output of each layer of hls4ml.
    origins : dict of str to str
        Layer of hls4ml whose configuration applies, by layer of the network.
    """

    network: IntegerNetwork
    input: FixedType
    input_views: tuple[IntArray, ...]
    outputs: tuple[ModelOutput, ...]
    recipes: dict[str, TraceRecipe]
    origins: dict[str, str]


def map_graph(graph: Any, patterns: Mapping[str, str] | None = None) -> MappedModel:
    """Map every layer, or raise an error with every layer that cannot be mapped.

    Parameters
    ----------
    graph : hls4ml.model.ModelGraph
        Optimized by hls4ml, with inferred types and channels last.
    patterns : mapping of str to str, optional
        ``Pattern``, by layer.

    Returns
    -------
    Mapped

    Raises
    ------
    ConversionError
        With every layer that is not supported, the reason, and an alternative.
    """
    assembly, values = Assembly(), dict[str, PendingTensor | None]()
    nodes = list(graph.get_layers())
    readers = {
        name: sum(list(node.inputs).count(name) for node in nodes)
        for node in nodes
        for name in node.outputs
    }
    inputs = map_inputs(assembly, list_entries(graph))
    if inputs is not None:
        values.update(inputs.values)
    for node in nodes:
        value = _map_layer(assembly, node, values, dict(patterns or {}).get(node.name))
        if value is not None and not _has_shape(assembly, node, value):
            value = None
        if value is not None:
            if node.class_name != "Softmax":
                assembly.record(node.name, value)
            if node.outputs[0] in graph.outputs:
                value = assembly.pad(node.name, value)
            if value is not None and (
                readers[node.outputs[0]] != 1 or node.outputs[0] in graph.outputs
            ):
                value = assembly.make_tensor(node.name, value)
        if value is None:
            value = _substitute(assembly, node)
        for name in node.outputs:
            values[name] = value
    assembly.problems += [
        f"input '{name}': no layer reads it" for name in graph.inputs if not readers.get(name)
    ]
    ConversionError.raise_if_any(assembly.problems)
    assert inputs is not None
    return _finish(assembly, graph, values, inputs)


def _substitute(assembly: Assembly, node: Any) -> PendingTensor | None:
    """Give a tensor in place of a refused layer; None if it is neither image nor vector."""
    variable = node.get_output_variable()
    shape = [int(size) for size in variable.shape]
    if not 1 <= len(shape) <= 3 or min(shape) < 1:
        return None
    precision = variable.type.precision
    kind = None if type_problem(precision) else fixed_type(precision)
    return assembly.substitute(node.name, shape, kind)


def _has_shape(assembly: Assembly, node: Any, value: PendingTensor) -> bool:
    """Compare a tensor's shape with the one that hls4ml computed; report a difference."""
    wanted = tuple(int(size) for size in node.get_output_variable().shape)
    if value.padded_shape == wanted:
        return True
    assembly.refuse(
        node.name,
        f"hls4ml says that its output has the shape {wanted}, but with its kernel, stride and "
        f"padding it has {value.padded_shape}; give the layer no dilation, and padding as numbers",
    )
    return False


def _finish(
    assembly: Assembly,
    graph: Any,
    values: Mapping[str, PendingTensor | None],
    inputs: MappedInputs,
) -> MappedModel:
    outputs = []
    for name in graph.outputs:
        if (value := values.get(name)) is None:
            assembly.problems.append(f"output '{name}': no layer gives this tensor")
            continue
        outputs.append(
            ModelOutput(layer=value.source, fraction=value.form.fraction, view=value.view)
        )
        if value.source == INPUT:
            assembly.refuse(name, "nothing is computed; a network needs a layer")
    ConversionError.raise_if_any(assembly.problems)
    leaving = list(dict.fromkeys(output.layer for output in outputs))
    try:
        network = assembly.make_network(leaving, graph.config.get_project_name())
    except NetworkError as error:
        ConversionError.raise_if_any(error.problems)
        raise
    return MappedModel(
        network=network,
        input=inputs.kind,
        input_views=inputs.views,
        outputs=tuple(outputs),
        recipes=assembly.recipes,
        origins=dict(assembly.origins),
    )


def _map_layer(
    assembly: Assembly, node: Any, values: Mapping[str, PendingTensor | None], pattern: str | None
) -> PendingTensor | None:
    """Map one layer; None if it, or one before it, is not supported, which was reported."""
    kind = node.class_name
    problems = [problem] if (problem := _class_problem(node)) else list(attribute_problems(node))
    for problem in problems:
        assembly.refuse(node.name, problem)
    if problems:
        return None
    if kind == "Input":
        return values.get(node.outputs[0])
    if (given := _read(assembly, node, values)) is None:
        return None
    if kind not in ADD_PADDING:
        padded = [assembly.pad(node.inputs[0], value) for value in given]
        if any(value is None for value in padded):
            return None
        given = [value for value in padded if value is not None]
    if kind in MERGES:
        return _cast(assembly, node, MERGES[kind](assembly, node, given))
    value = given[0]
    if kind == "Softmax":
        return value
    if kind in SHAPED:
        return _cast(assembly, node, SHAPED[kind](assembly, node, value))
    if kind in ACTIVATION_KINDS:
        return _cast(assembly, node, map_activation(assembly, node, value))
    tensor = assembly.make_tensor(node.inputs[0], value)
    if tensor is None:
        return None
    if kind in POOLS and is_average(node):
        return map_average_pool(assembly, node, tensor)
    if kind in POOLS:
        return _cast(assembly, node, map_max_pool(assembly, node, tensor))
    return _cast(assembly, node, WEIGHTED[kind](assembly, node, tensor, pattern))


def _read(
    assembly: Assembly, node: Any, values: Mapping[str, PendingTensor | None]
) -> list[PendingTensor] | None:
    """Find the inputs of a layer; None if one is not supported, which was reported."""
    # hls4ml leaves an empty name for a removed input, such as the shape of a Reshape.
    names = [name for name in node.inputs if name]
    count = 2 if node.class_name in MERGES else 1
    missing = [name for name in names if name not in values]
    for name in missing:
        assembly.refuse(node.name, f"reads '{name}', which no layer gives")
    if not missing and len(names) != count:
        assembly.refuse(
            node.name, f"needs {count} input{'s'[: count - 1]}, got {', '.join(names) or 'none'}"
        )
        return None
    given = [value for name in names if (value := values.get(name)) is not None]
    return given if len(given) == len(names) else None


def _class_problem(node: Any) -> str | None:
    """Say why a class of layers is not supported; None if it is."""
    kind = node.class_name
    if kind == "Merge":
        operation = str(node.get_attr("op")).lower()
        known = ", ".join(MERGED)
        return None if operation in MERGED else f"merges by {operation}; there are {known}"
    if kind in ACTIVATION_KINDS:
        return activation_problem(node)
    if kind == "Softmax":
        is_last = node.outputs[0] in node.model.outputs and not node.get_output_nodes()
        return None if is_last else f"{kind} is not supported inside; {REFUSED[kind]}"
    if kind in SUPPORTED:
        return None
    return f"{kind} is not supported; {REFUSED.get(kind, f'there are {LISTED}')}"


def _cast(assembly: Assembly, node: Any, value: PendingTensor | None) -> PendingTensor | None:
    """Append the cast to the result type of a layer."""
    if value is None:
        return None
    precision = node.get_output_variable().type.precision
    if problem := type_problem(precision):
        assembly.refuse(node.name, f"result {problem}")
        return None
    return value.then(node.name, Cast(fixed_type(precision)))
