"""Import an ONNX graph, and compare what comes out with what the reference computes."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx

from systolith.exchange import ImportedModel, import_onnx
from systolith.fuzz.graphs.graph import Graph
from systolith.fuzz.graphs.points import Point, points_of
from systolith.fuzz.graphs.reference import Array, run_model, run_qonnx
from systolith.fuzz.verdict import Kind, Verdict
from systolith.network import NetworkError, forward

__all__ = ["Read", "judge_graph"]

Read = Callable[[Path], ImportedModel]
"""Imports a file."""

NOT_RUN = "the reference does not run it"
LEFT_TO_HOST = {
    *("ArgMax", "LogSoftmax", "Sigmoid", "Softmax"),
    *("Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape"),
}
"""What an import may leave out at the end: it says so."""
FLOAT32 = 2.0**-19
"""Relative error of a sum in the reference."""
SELDOM = 0.3
"""Share of results of an operator on integers that may lie next to a tie: its sums are not seen."""


def judge_graph(graph: Graph, read: Read = import_onnx) -> Verdict:
    """Import a graph and run it.

    Results must be equal where the import is called exact and the reference, in float32, rounds
    nothing. Else they may differ where a quantizer is next to a tie: the first quantizer at which
    an image differs is looked at, and there each value that differs must lie as near to one as the
    import's `units` and float32 say, and differ by one step.

    Parameters
    ----------
    graph : Graph
    read : callable
        Imports; another one than :func:`import_onnx` shows that faults are found.
    """
    try:
        _run(graph, [str(graph.model.graph.output[0].name)])
    except Exception:  # graphs of a search for smaller ones; whatever the reference raises
        return Verdict(refusals=(NOT_RUN,))
    try:
        return Verdict(findings=tuple(_findings(graph, read)))
    except NetworkError as error:
        return Verdict(refusals=tuple(error.problems))
    except Exception as error:  # whatever a random case brings to light is a finding
        return Verdict(findings=((Kind.ERROR, f"{type(error).__name__}: {error}"),))


def _imported(graph: Graph, read: Read) -> ImportedModel:
    """Import the model from a file, as users do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(graph.model, path)
        return read(path)


def _run(graph: Graph, outputs: list[str]) -> list[Array]:
    run = run_qonnx if graph.qonnx else run_model
    return run(graph.model, graph.images, outputs)


def _left_out(graph: Graph, tensor: str) -> list[str]:
    """Operators from a tensor to the output, which an import left to the host."""
    name, found = str(graph.model.graph.output[0].name), []
    makers = {each: node for node in graph.model.graph.node for each in node.output}
    while name != tensor and name in makers:
        found.append(makers[name].op_type)
        name = makers[name].input[0]
    return found


def _ours(found: ImportedModel, images: Array, *, integer: bool) -> Array:
    """Results as the file gives them, real or integer."""
    outputs = forward(found.network, found.quantize_input(images))
    ((name, real),) = found.real(outputs).items()
    if not integer:
        return np.asarray(real)
    zero = found.network.tensors[name].type.zero_point
    return np.asarray(np.rint(real / found.scales[name]).astype(np.int64) + zero)


def _findings(graph: Graph, read: Read) -> Iterator[tuple[Kind, str]]:
    found = _imported(graph, read)
    ((_, tensor),) = found.tensors.items()
    if not set(left := _left_out(graph, tensor)) <= LEFT_TO_HOST:
        yield Kind.MISMATCH, f"the network ends at '{tensor}', and leaves out {left[::-1]}"
        return
    (wanted,) = _run(graph, [tensor])
    ours = _ours(found, graph.images, integer=wanted.dtype.kind in "iu")
    claim = "called exact" if found.exact else f"called equal to {max(found.units.values()):.2g}"
    if ours.shape != wanted.shape:
        shapes = f"shape {ours.shape}, where the reference gives {wanted.shape}"
        yield Kind.MISMATCH, f"{shapes} ({claim})"
        return
    differs = ours != wanted
    if not differs.any():
        return
    off = np.abs(ours.astype(np.float64) - wanted).max()
    what = (
        f"{int(differs.sum())} of {differs.size} outputs differ, by up to {off:.3g} in a range of "
        f"{wanted.min():.3g}..{wanted.max():.3g} ({claim})"
    )
    if graph.dyadic and found.exact:
        yield Kind.MISMATCH, what
        return
    clean = np.ones(len(ours), dtype=bool)
    for point in points_of(graph):
        reason, clean = _at_point(graph, read, point, clean)
        if reason:
            yield Kind.MISMATCH, f"{what}: {reason}"
            return
    bound = 0.0
    if wanted.dtype.kind == "f":
        scale = max(found.scales.values())
        bound = np.ceil(max(found.units.values(), default=0.0)) * scale
        bound += FLOAT32 * np.abs(wanted).max()
    far = np.abs(ours.astype(np.float64) - wanted) > bound
    if (far[clean]).any():
        yield Kind.MISMATCH, f"{what}: although all quantizers before give equal integers"


def _at_point(graph: Graph, read: Read, point: Point, clean: Array) -> tuple[str, Array]:
    """Compare one quantizer's results, for images for which all before are equal."""
    try:
        found = _imported(point.graph, read)
        wanted, *before = _run(graph, [point.result, *point.before])
        integer = wanted.dtype.kind in "iu"
        ours = _ours(found, graph.images, integer=integer)
    except NetworkError:
        return "", clean
    if ours.shape != wanted.shape:
        return f"at '{point.result}' shapes are {ours.shape} and {wanted.shape}", clean
    step = 1.0 if integer else point.scale
    steps = np.rint(np.abs(ours.astype(np.float64) - wanted.astype(np.float64)) / step)
    axes = tuple(range(1, steps.ndim))
    equal = ~(steps > 0).any(axis=axes)
    looked = steps[clean]
    if (looked > 1).any():
        return f"at '{point.result}' by up to {int(looked.max())} steps", clean
    if before:
        ratio = before[0].astype(np.float64) / point.scale
        near = max(found.units.values(), default=0.0) + FLOAT32 * max(np.abs(ratio).max(), 1.0)
        far = np.abs(ratio - np.floor(ratio) - 0.5) > near
        if point.floors:
            far = np.abs(ratio - np.rint(ratio)) > near
        if (far[clean] & (looked > 0)).any():
            return f"at '{point.result}' where no tie is near", clean
    elif (looked > 0).mean() > SELDOM and (looked > 0).sum() > 2:
        return f"at '{point.result}' in {(looked > 0).mean():.0%} of all values", clean
    return "", clean & equal
