"""The graph compared with the user's model, and the network with hls4ml's C simulation."""

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hls4ml.converters import convert_from_config
from hls4ml.utils.config import create_config
from numpy.typing import NDArray

from systolith.hls4ml_backend.float_graph import run_floats
from systolith.hls4ml_backend.inputs import is_transposed_first, list_entries
from systolith.hls4ml_backend.layers.weighted import read_dilation
from systolith.hls4ml_backend.project import ConversionError
from systolith.hls4ml_backend.tracing import compute_layer_outputs
from systolith.hls4ml_backend.user_model import (
    NotComparable,
    UserInputs,
    UserOutputs,
    run_user_model,
)
from systolith.network import trace

__all__ = ["check_csimulation", "check_model"]

MODEL_SAMPLES = 4
TOLERANCE = 1e-4
"""Share of a tensor's greatest value that single precision may differ by."""
CSIMULATION_SAMPLES = 8
BACKEND = "Vitis"
OWN_KEYS = ("Pattern", "Rows", "Columns", "Multipliers", "Device")
"""Keys that hls4ml does not know."""
SPEED_KEYS = ("ReuseFactor", "Strategy")
"""Keys that change how long hardware takes, and not what it computes."""

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]


def check_model(graph: Any) -> str:
    """Compare a graph without types with the user's model, in floating point, on random inputs.

    Converters of hls4ml ignore what they do not know: Keras' ``dilation_rate`` and ``keepdims``,
    ``ceil_mode``, ``alpha`` of an addition. The C simulation then agrees with the graph, and
    neither agrees with the model.

    Parameters
    ----------
    graph : hls4ml.model.ModelGraph
        A graph that was mapped.

    Returns
    -------
    str
        What was compared. If nothing was, the reason, which is also a warning.

    Raises
    ------
    ConversionError
        If they differ: names the first layer whose output differs.
    """
    entries, rng = list_entries(graph), np.random.default_rng(0)
    x: list[Doubles] = []
    for entry in entries:
        shape = tuple(int(size) for size in entry.get_output_variable().shape)
        single = rng.normal(size=(MODEL_SAMPLES, *shape)).astype(np.float32)
        x.append(single.astype(np.float64))
    given = UserInputs(
        x=tuple(x),
        channels_first=tuple(is_transposed_first(entry) for entry in entries),
        layers=frozenset(node.name for node in graph.get_layers()),
    )
    try:
        wanted = run_user_model(graph.config.config, given)
    except NotComparable as reason:
        return _warn(f"the graph was not compared with the user's model: {reason}")
    except Exception as error:  # a model is the user's code, and may do anything
        return _warn(
            "the graph was not compared with the user's model, which does not run on inputs of "
            f"shape {', '.join(str(one.shape) for one in x)}: {type(error).__name__}: {error}"
        )
    tensors = run_floats(graph, x)
    got = [tensors[name] for name in graph.outputs]
    theirs = _before_skipped(graph, wanted) or wanted.outputs
    if len(got) == len(theirs) and all(map(_is_close, got, theirs)):
        return (
            f"equal to the {wanted.framework} model on {MODEL_SAMPLES} random inputs, without types"
        )
    raise ConversionError([_difference_from_model(graph, tensors, wanted)])


def _warn(reason: str) -> str:
    warnings.warn(reason, stacklevel=3)
    return reason


def _before_skipped(graph: Any, wanted: UserOutputs) -> list[Doubles]:
    """Find the model's tensors in front of layers left out by ``Skip``; empty if none are."""
    layers = graph.config.config["HLSConfig"].get("LayerName", {}).values()
    if not any(layer.get("Skip", False) for layer in layers if isinstance(layer, dict)):
        return []
    makers = {node.outputs[0]: node.name for node in graph.get_layers()}
    given = [wanted.layers.get(name, wanted.layers.get(makers[name])) for name in graph.outputs]
    return [values for values in given if values is not None]


def _is_close(got: Doubles, wanted: Doubles) -> bool:
    if got.size != wanted.size:
        return False
    flat, other = got.reshape(-1), wanted.reshape(-1)
    return bool(_distance(flat, other) <= TOLERANCE * max(float(np.abs(other).max()), 1e-30))


def _distance(got: Doubles, wanted: Doubles) -> float:
    return float(np.abs(got - wanted).max())


def _difference_from_model(graph: Any, tensors: dict[str, Doubles], wanted: UserOutputs) -> str:
    """Name the first layer that differs from the user's model, and the likely reason."""
    for node in graph.get_layers():
        for name in (node.outputs[0], node.name):
            theirs = wanted.layers.get(name)
            if theirs is None or _is_close(ours := tensors[node.outputs[0]], theirs):
                continue
            if ours.size != theirs.size:
                shape = theirs.shape[1:]
                how = f"the shape {ours.shape[1:]}, but in the {wanted.framework} model {shape}"
            else:
                off = _distance(ours.reshape(-1), theirs.reshape(-1))
                how = (
                    f"values up to {off:.3g} off the {wanted.framework} model's, whose greatest "
                    f"value is {np.abs(theirs).max():.3g}"
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


def check_csimulation(graph: Any, folder: Path) -> str:
    """Compare golden arithmetic with hls4ml's C simulation, bit for bit, on random inputs.

    Parameters
    ----------
    graph : SystolithGraph
    folder : Path
        Folder of the C++ project, which hls4ml's Vitis backend writes and compiles with ``g++``.

    Returns
    -------
    str
        What was compared. If nothing was, the reason, which is also a warning.

    Raises
    ------
    ConversionError
        If they differ: names the first layer whose output differs.
    """
    skipped = "the network was not compared with hls4ml's C simulation"
    if reasons := list(_known_differences(graph)):
        return _warn(f"{skipped}: {'; '.join(reasons)}")
    x = _draw_inputs(graph)
    try:
        theirs = _as_list(_compile(graph, folder, traced=False).predict(_alone(x)))
    except Exception as error:  # of hls4ml's converters, writers and compilers
        return _warn(f"{skipped}: it does not compile: {type(error).__name__}: {error}")
    tensors = trace(graph.mapped.network, graph.quantize(x))
    ours = _as_list(graph.as_floats(tensors, np.float32))
    if len(ours) == len(theirs) and all(map(_is_equal, ours, theirs)):
        return f"equal to hls4ml's C simulation ({BACKEND}) on {CSIMULATION_SAMPLES} random inputs"
    raise ConversionError([_difference_from_csimulation(graph, folder, x)])


def _known_differences(graph: Any) -> Iterator[str]:
    """Name the layers that the C++ for streams computes differently, or not at all."""
    for node in graph.get_layers():
        attr = node.get_attr
        if node.class_name in ("Pooling1D", "Pooling2D"):
            sizes = [
                (attr(f"pool_{axis}", 1), attr(f"stride_{axis}", 1)) for axis in ("height", "width")
            ]
            pads = [attr(f"pad_{side}", 0) for side in ("top", "bottom", "left", "right")]
            if any(size != stride for size, stride in sizes) or any(pads):
                yield f"layer '{node.name}' is a padded or overlapping pool"
        elif "Depthwise" in node.class_name and attr("n_filt") != attr("n_chan"):
            yield f"layer '{node.name}' has several filters per channel"
        elif "Conv" in node.class_name and read_dilation(node) != (1, 1):
            yield f"layer '{node.name}' is dilated"
        elif node.class_name == "PReLU":
            slopes = np.size(node.get_weights("param").data)
            if slopes != node.get_output_variable().size():
                yield f"layer '{node.name}' has one slope for several values"
        elif node.class_name == "Merge":
            first, second = (node.get_input_variable(name).shape for name in node.inputs)
            if list(first) != list(second):
                yield f"layer '{node.name}' repeats one of its inputs"


def _draw_inputs(graph: Any) -> list[Singles]:
    """Draw half of the inputs from the whole input type, and half around zero."""
    kind, rng = graph.mapped.input, np.random.default_rng(0)
    drawn = []
    for view in graph.mapped.input_views:
        wide = rng.integers(kind.low, kind.high + 1, (CSIMULATION_SAMPLES // 2, *view.shape))
        spread = max((kind.high - kind.low) // 8, 1)
        near = np.clip(rng.integers(-spread, spread + 1, wide.shape), kind.low, kind.high)
        integers = np.concatenate([wide, near])
        drawn.append(np.asarray(np.ldexp(integers, -kind.fraction), dtype=np.float32))
    return drawn


def _alone(x: list[Singles]) -> Singles | list[Singles]:
    """Give the arrays as hls4ml takes them: without a list if there is one input."""
    return x[0] if len(x) == 1 else x


def _compile(graph: Any, folder: Path, *, traced: bool) -> Any:
    given: Mapping[str, Any] = graph.config.config
    name = given["ProjectName"]
    config = create_config(str(folder), name, BACKEND, io_type="io_stream")
    for key in ("PytorchModel", "KerasModel", "OnnxModel", "InputShape"):
        if key in given:
            config[key] = given[key]
    config["HLSConfig"] = _drop_own_keys(copy.deepcopy(given["HLSConfig"]))
    config["HLSConfig"]["Model"]["ReuseFactor"] = 1
    sections = config["HLSConfig"].setdefault("LayerName", {})
    for node in graph.get_layers():
        if traced:
            sections.setdefault(node.name, {})["Trace"] = True
        if node.class_name == "Softmax":
            sections.setdefault(node.name, {})["Skip"] = True
    with contextlib.redirect_stdout(io.StringIO()):
        converted = convert_from_config(config)
        converted.compile()
    return converted


def _drop_own_keys(section: Any) -> Any:
    """Leave out the keys of this backend, and the keys that only change speed."""
    if not isinstance(section, dict):
        return section
    kept = ((key, value) for key, value in section.items() if key not in OWN_KEYS + SPEED_KEYS)
    return {key: _drop_own_keys(value) for key, value in kept}


def _difference_from_csimulation(graph: Any, folder: Path, x: list[Singles]) -> str:
    """Name the first layer that differs. The C++ is compiled again, with tracing."""
    remedy = (
        "find out which of the two is wrong; check_csimulation=False converts "
        "without this comparison"
    )
    try:
        _, theirs = _compile(graph, folder.with_name(f"{folder.name}_trace"), traced=True).trace(
            _alone(x)
        )
    except Exception as error:  # of hls4ml's converters, writers and compilers
        return (
            "outputs differ from hls4ml's C simulation, and its layers cannot be compared: "
            f"{type(error).__name__}: {error}"
        )
    names = [node.name for node in graph.get_layers() if node.name in theirs]
    tensors = trace(graph.mapped.network, graph.quantize(x))
    for name, ours in compute_layer_outputs(graph.mapped, tensors, names, np.float32).items():
        if not _is_equal(ours, theirs[name]):
            wrong = np.count_nonzero(ours.reshape(-1) != np.asarray(theirs[name]).reshape(-1))
            return (
                f"layer '{name}': {wrong} of {ours.size} values differ from hls4ml's C simulation "
                f"({BACKEND}), and none of the layers before it; {remedy}"
            )
    return f"outputs differ from hls4ml's C simulation, but no layer that it traces; {remedy}"


def _is_equal(ours: Any, theirs: Any) -> bool:
    return np.array_equal(np.asarray(ours).reshape(-1), np.asarray(theirs).reshape(-1))


def _as_list(outputs: Any) -> list[Any]:
    return outputs if isinstance(outputs, list) else [outputs]
