"""Whether hls4ml has read the model that the user gave: both in floating point."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.hls4ml_backend.errors import ConversionError
from systolith.hls4ml_backend.float_graph import run_floats
from systolith.hls4ml_backend.mapping import is_transposed_first
from systolith.hls4ml_backend.user_model import (
    NotComparable,
    UserInputs,
    UserOutputs,
    run_user_model,
)

__all__ = ["check_model"]

SAMPLES = 4
TOLERANCE = 1e-4
"""Of a tensor's greatest value: single precision in another order of summation."""

Floats = NDArray[np.float64]


def check_model(graph: Any) -> str:
    """Compare a graph without types with the user's model, on random inputs.

    Converters of hls4ml ignore what they do not know: Keras' ``dilation_rate`` and ``keepdims``,
    ``ceil_mode``, ``alpha`` of an addition. The C simulation then agrees with the graph, and
    neither with the model.

    Parameters
    ----------
    graph : hls4ml.model.ModelGraph
        That was mapped.

    Returns
    -------
    str
        What was compared, or why nothing was; then it is a warning, too.

    Raises
    ------
    ConversionError
        If they differ: with the first layer whose output does.
    """
    shape = tuple(int(size) for size in graph.get_input_variables()[0].shape)
    single = np.random.default_rng(0).normal(size=(SAMPLES, *shape)).astype(np.float32)
    x: Floats = single.astype(np.float64)
    names = frozenset(node.name for node in graph.get_layers())
    entry = next(node for node in graph.get_layers() if node.outputs[0] in graph.inputs)
    given = UserInputs(x=x, channels_first=is_transposed_first(entry), layers=names)
    try:
        wanted = run_user_model(graph.config.config, given)
    except NotComparable as reason:
        return _uncompared(f"the graph was not compared with the user's model: {reason}")
    except Exception as error:  # a model is the user's code, and may do anything
        return _uncompared(
            "the graph was not compared with the user's model, which does not run on inputs of "
            f"shape {x.shape}: {type(error).__name__}: {error}"
        )
    tensors = run_floats(graph, x)
    got = [tensors[name] for name in graph.outputs]
    theirs = _before_skipped(graph, wanted) or wanted.outputs
    if len(got) == len(theirs) and all(map(_equal, got, theirs)):
        return f"equal to the {wanted.framework} model on {SAMPLES} random inputs, without types"
    raise ConversionError([_difference(graph, tensors, wanted)])


def _before_skipped(graph: Any, wanted: UserOutputs) -> list[Floats]:
    """What the user's model gives in front of layers left out by ``Skip``; empty if none are."""
    layers = graph.config.config["HLSConfig"].get("LayerName", {}).values()
    if not any(layer.get("Skip", False) for layer in layers if isinstance(layer, dict)):
        return []
    makers = {node.outputs[0]: node.name for node in graph.get_layers()}
    given = [wanted.layers.get(name, wanted.layers.get(makers[name])) for name in graph.outputs]
    return [values for values in given if values is not None]


def _uncompared(reason: str) -> str:
    warnings.warn(reason, stacklevel=2)
    return reason


def _equal(got: Floats, wanted: Floats) -> bool:
    if got.size != wanted.size:
        return False
    flat, other = got.reshape(-1), wanted.reshape(-1)
    return bool(_distance(flat, other) <= TOLERANCE * max(float(np.abs(other).max()), 1e-30))


def _distance(got: Floats, wanted: Floats) -> float:
    return float(np.abs(got - wanted).max())


def _difference(graph: Any, tensors: dict[str, Floats], wanted: UserOutputs) -> str:
    """Name the first layer that differs, and what may be the reason."""
    for node in graph.get_layers():
        for name in (node.outputs[0], node.name):
            theirs = wanted.layers.get(name)
            if theirs is None or _equal(ours := tensors[node.outputs[0]], theirs):
                continue
            if ours.size != theirs.size:
                shape = theirs.shape[1:]
                how = f"the shape {ours.shape[1:]}, but in the {wanted.framework} model {shape}"
            else:
                off = _distance(ours.reshape(-1), theirs.reshape(-1))
                how = (
                    f"values up to {off:.3g} off the {wanted.framework} model's, of which the "
                    f"greatest is {np.abs(theirs).max():.3g}"
                )
            return (
                f"layer '{node.name}' ({node.class_name}): as hls4ml has read it, its output has "
                f"{how}; hls4ml's converter ignores a setting of it (dilation, rounding of sizes, "
                "factors, axes), or its weights are computed: write it without"
            )
    return (
        f"the outputs of hls4ml's graph are not those of the {wanted.framework} model, though "
        "every layer that both name is equal: what is done between and after them is unknown to "
        "hls4ml's converter; do it in layers"
    )
