"""Whether the network computes what hls4ml's own C simulation does, bit for bit."""

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

from systolith.hls4ml_backend.errors import ConversionError
from systolith.hls4ml_backend.tracing import trace_layers
from systolith.network import trace

__all__ = ["check_csimulation"]

SAMPLES = 8
BACKEND = "Vitis"
OWN_KEYS = ("Pattern", "Rows", "Columns", "Multipliers", "Device")
"""Keys that hls4ml does not know."""
SPEED_KEYS = ("ReuseFactor", "Strategy")
"""Keys that change how long hardware takes, and not what it computes."""

Floats = NDArray[np.float32]


def check_csimulation(graph: Any, folder: Path) -> str:
    """Compare golden arithmetic with hls4ml's C simulation on random inputs.

    Parameters
    ----------
    graph : SystolithGraph
    folder : Path
        For the C++ project; its Vitis backend writes it, and compiles it with ``g++``.

    Returns
    -------
    str
        What was compared, or why nothing was; then it is a warning, too.

    Raises
    ------
    ConversionError
        If they differ: with the first layer whose output does.
    """
    if reasons := list(_known_differences(graph)):
        return _uncompared("; ".join(reasons))
    x = _inputs(graph)
    try:
        theirs = _listed(_compiled(graph, folder, traced=False).predict(x))
    except Exception as error:  # of hls4ml's converters, writers and compilers
        return _uncompared(f"it does not compile: {type(error).__name__}: {error}")
    tensors = trace(graph.mapped.network, graph.quantize(x))
    ours = _listed(graph.as_floats(tensors, x.dtype))
    if len(ours) == len(theirs) and all(map(_equal, ours, theirs)):
        return f"equal to hls4ml's C simulation ({BACKEND}) on {SAMPLES} random inputs"
    raise ConversionError([_difference(graph, folder, x)])


def _known_differences(graph: Any) -> Iterator[str]:
    """Say what the C++ for streams computes otherwise, or not at all."""
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


def _uncompared(reason: str) -> str:
    text = f"the network was not compared with hls4ml's C simulation: {reason}"
    warnings.warn(text, stacklevel=3)
    return text


def _inputs(graph: Any) -> Floats:
    """Draw inputs over the whole input type, and as many around zero."""
    kind, shape = graph.mapped.input, graph.mapped.input_view.shape
    rng = np.random.default_rng(0)
    wide = rng.integers(kind.low, kind.high + 1, (SAMPLES // 2, *shape))
    spread = max((kind.high - kind.low) // 8, 1)
    near = np.clip(rng.integers(-spread, spread + 1, wide.shape), kind.low, kind.high)
    integers = np.concatenate([wide, near])
    return np.asarray(np.ldexp(integers, -kind.fraction), dtype=np.float32)


def _compiled(graph: Any, folder: Path, *, traced: bool) -> Any:
    given: Mapping[str, Any] = graph.config.config
    name = given["ProjectName"]
    config = create_config(str(folder), name, BACKEND, io_type="io_stream")
    for key in ("PytorchModel", "KerasModel", "OnnxModel", "InputShape"):
        if key in given:
            config[key] = given[key]
    config["HLSConfig"] = _without_own(copy.deepcopy(given["HLSConfig"]))
    config["HLSConfig"]["Model"]["ReuseFactor"] = 1
    if traced:
        sections = config["HLSConfig"].setdefault("LayerName", {})
        for node in graph.get_layers():
            sections.setdefault(node.name, {})["Trace"] = True
    with contextlib.redirect_stdout(io.StringIO()):
        converted = convert_from_config(config)
        converted.compile()
    return converted


def _without_own(section: Any) -> Any:
    """Leave out what this backend alone knows, and what only changes speed."""
    if not isinstance(section, dict):
        return section
    kept = ((key, value) for key, value in section.items() if key not in OWN_KEYS + SPEED_KEYS)
    return {key: _without_own(value) for key, value in kept}


def _difference(graph: Any, folder: Path, x: Floats) -> str:
    """Name the first layer that differs; the C++ is compiled again for that."""
    remedy = (
        "which of the two is wrong has to be found out; check_csimulation=False converts "
        "without this comparison"
    )
    try:
        _, theirs = _compiled(graph, folder.with_name(f"{folder.name}_trace"), traced=True).trace(x)
    except Exception as error:  # as above
        reason = f"{type(error).__name__}: {error}"
        return f"outputs differ from hls4ml's C simulation, of which no layers are seen: {reason}"
    names = [node.name for node in graph.get_layers() if node.name in theirs]
    tensors = trace(graph.mapped.network, graph.quantize(x))
    for name, ours in trace_layers(graph.mapped, tensors, names, x.dtype).items():
        if not _equal(ours, theirs[name]):
            wrong = np.count_nonzero(ours.reshape(-1) != np.asarray(theirs[name]).reshape(-1))
            return (
                f"layer '{name}': {wrong} of {ours.size} values differ from hls4ml's C simulation "
                f"({BACKEND}), and none of the layers before it; {remedy}"
            )
    return f"outputs differ from hls4ml's C simulation, but no layer that it traces; {remedy}"


def _equal(ours: Any, theirs: Any) -> bool:
    return np.array_equal(np.asarray(ours).reshape(-1), np.asarray(theirs).reshape(-1))


def _listed(outputs: Any) -> list[Any]:
    return outputs if isinstance(outputs, list) else [outputs]
