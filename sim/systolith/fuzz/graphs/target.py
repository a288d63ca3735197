"""Fuzz the importer of ONNX files: draw, judge and shrink graphs."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from systolith.exchange import ImportedModel, import_onnx
from systolith.fuzz.choices import Choices
from systolith.fuzz.graphs.drawing import draw_graph
from systolith.fuzz.graphs.graph import Graph
from systolith.fuzz.graphs.reference import TensorValues, run_model, run_qonnx
from systolith.fuzz.shrink import remove_parts
from systolith.fuzz.target import FindingKind, Verdict, suppress_warnings
from systolith.network import NetworkError, forward

__all__ = ["GraphTarget", "ImportFunction", "judge_graph"]

ImportFunction = Callable[[Path], ImportedModel]
"""Imports a file, like :func:`systolith.exchange.import_onnx`."""

NOT_RUN = "the reference does not run it"
LEFT_TO_HOST = {
    *("ArgMax", "LogSoftmax", "Sigmoid", "Softmax"),
    *("Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape"),
}
"""Operators at the end of a graph that an import may leave to the host."""
FLOAT32 = 2.0**-19
"""Relative error of a sum in the reference, which uses float32."""
SELDOM = 0.3
"""Share of results of an operator on integers that may be near a tie: its sums are not visible."""
QUANTIZERS = ("IntQuant", "Quant", "QuantizeLinear")


@dataclass(frozen=True, slots=True)
class GraphTarget:
    """Fuzz the way from an ONNX file to the golden arithmetic.

    Attributes
    ----------
    read : callable
        Imports a file. A function with a fault tests that fuzzing finds it.
    """

    read: ImportFunction = import_onnx

    settings: dict[str, int] = field(default_factory=dict)

    def require(self) -> None:
        """Do nothing: no tools are needed."""

    def draw(self, choices: Choices) -> Graph:
        """Draw a graph."""
        with suppress_warnings():
            return draw_graph(choices)

    def judge(self, case: Graph, workdir: Path) -> Verdict:
        """Import and compare; see :func:`judge_graph`."""
        with suppress_warnings():
            return judge_graph(case, self.read)

    def shrink(
        self,
        case: Graph,
        verdict: Verdict,
        made: Sequence[int],
        judge: Callable[[Graph], Verdict],
        attempts: int,
    ) -> tuple[Graph, Verdict]:
        """Remove nodes."""
        return remove_parts(case, verdict, judge, attempts=attempts)

    def load(self, folder: Path) -> Graph:
        """Read a saved graph."""
        return Graph.load(folder)

    def contents(self, case: Graph) -> Iterator[str]:
        """List the features of a graph."""
        yield from case.covers


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizerNode:
    """A quantizer of activations.

    Attributes
    ----------
    graph : Graph
        The graph up to the quantizer.
    result : str
        Name of the quantized tensor.
    before : tuple of str
        Name of the float tensor that it quantizes; empty for operators on integers.
    scale : float
        Real value of one step.
    floors : bool
        Whether it rounds down.
    """

    graph: Graph
    result: str
    before: tuple[str, ...]
    scale: float
    floors: bool


def judge_graph(graph: Graph, read: ImportFunction = import_onnx) -> Verdict:
    """Import a graph and run it.

    Results must be equal if the import is exact and the reference, in float32, rounds nothing. Else
    they may differ where a quantizer is near a tie. At the first quantizer where an image differs,
    each different value must be as near to a tie as the `units` of the import and float32 allow,
    and must differ by one step.

    Parameters
    ----------
    graph : Graph
    read : callable
        Imports a file.
    """
    try:
        _run(graph, [str(graph.model.graph.output[0].name)])
    except Exception:  # shrunk graphs may be invalid in many ways
        return Verdict(refusals=(NOT_RUN,))
    try:
        return Verdict(findings=tuple(_findings(graph, read)))
    except NetworkError as error:
        return Verdict(refusals=tuple(error.problems))
    except Exception as error:  # any exception of a random case is a finding
        return Verdict(findings=((FindingKind.ERROR, f"{type(error).__name__}: {error}"),))


def _import(graph: Graph, read: ImportFunction) -> ImportedModel:
    """Import the model from a file, as users do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(graph.model, path)
        return read(path)


def _run(graph: Graph, outputs: list[str]) -> list[TensorValues]:
    run = run_qonnx if graph.qonnx else run_model
    return run(graph.model, graph.images, outputs)


def _left_out(graph: Graph, tensor: str) -> list[str]:
    """List the operators from a tensor to the output, which the import left to the host."""
    name, operators = str(graph.model.graph.output[0].name), []
    makers = {output: node for node in graph.model.graph.node for output in node.output}
    while name != tensor and name in makers:
        operators.append(makers[name].op_type)
        name = makers[name].input[0]
    return operators


def _ours(imported: ImportedModel, images: TensorValues, *, integer: bool) -> TensorValues:
    """Run the imported network. Returns real values, or integers if the file has such outputs."""
    outputs = forward(imported.network, imported.quantize_input(images))
    ((name, real),) = imported.real(outputs).items()
    if not integer:
        return np.asarray(real)
    zero = imported.network.tensors[name].type.zero_point
    return np.asarray(np.rint(real / imported.scales[name]).astype(np.int64) + zero)


def _findings(graph: Graph, read: ImportFunction) -> Iterator[tuple[FindingKind, str]]:
    imported = _import(graph, read)
    ((_, tensor),) = imported.tensors.items()
    if not set(left := _left_out(graph, tensor)) <= LEFT_TO_HOST:
        yield FindingKind.MISMATCH, f"the network ends at '{tensor}', and leaves out {left[::-1]}"
        return
    (wanted,) = _run(graph, [tensor])
    ours = _ours(imported, graph.images, integer=wanted.dtype.kind in "iu")
    claim = (
        "called exact" if imported.exact else f"called equal to {max(imported.units.values()):.2g}"
    )
    if ours.shape != wanted.shape:
        shapes = f"shape {ours.shape}, where the reference gives {wanted.shape}"
        yield FindingKind.MISMATCH, f"{shapes} ({claim})"
        return
    differs = ours != wanted
    if not differs.any():
        return
    off = np.abs(ours.astype(np.float64) - wanted).max()
    what = (
        f"{int(differs.sum())} of {differs.size} outputs differ, by up to {off:.3g} in a range of "
        f"{wanted.min():.3g}..{wanted.max():.3g} ({claim})"
    )
    if graph.dyadic and imported.exact:
        yield FindingKind.MISMATCH, what
        return
    clean = np.ones(len(ours), dtype=bool)
    for quantizer in _list_quantizers(graph):
        reason, clean = _compare_at(graph, read, quantizer, clean)
        if reason:
            yield FindingKind.MISMATCH, f"{what}: {reason}"
            return
    bound = 0.0
    if wanted.dtype.kind == "f":
        scale = max(imported.scales.values())
        bound = np.ceil(max(imported.units.values(), default=0.0)) * scale
        bound += FLOAT32 * np.abs(wanted).max()
    far = np.abs(ours.astype(np.float64) - wanted) > bound
    if (far[clean]).any():
        yield FindingKind.MISMATCH, f"{what}: although all quantizers before give equal integers"


def _compare_at(
    graph: Graph, read: ImportFunction, quantizer: QuantizerNode, clean: TensorValues
) -> tuple[str, TensorValues]:
    """Compare the results of one quantizer for images whose earlier quantizers are all equal."""
    try:
        imported = _import(quantizer.graph, read)
        wanted, *before = _run(graph, [quantizer.result, *quantizer.before])
        integer = wanted.dtype.kind in "iu"
        ours = _ours(imported, graph.images, integer=integer)
    except NetworkError:
        return "", clean
    if quantizer.result not in imported.tensors.values():
        return "", clean  # the graph up to here ends with what is left to the host
    if ours.shape != wanted.shape:
        return f"at '{quantizer.result}' shapes are {ours.shape} and {wanted.shape}", clean
    step = 1.0 if integer else quantizer.scale
    steps = np.rint(np.abs(ours.astype(np.float64) - wanted.astype(np.float64)) / step)
    axes = tuple(range(1, steps.ndim))
    equal = ~(steps > 0).any(axis=axes)
    looked = steps[clean]
    if (looked > 1).any():
        return f"at '{quantizer.result}' by up to {int(looked.max())} steps", clean
    if before:
        ratio = before[0].astype(np.float64) / quantizer.scale
        near = max(imported.units.values(), default=0.0) + FLOAT32 * max(np.abs(ratio).max(), 1.0)
        far = np.abs(ratio - np.floor(ratio) - 0.5) > near
        if quantizer.floors:
            far = np.abs(ratio - np.rint(ratio)) > near
        if (far[clean] & (looked > 0)).any():
            return f"at '{quantizer.result}' where no tie is near", clean
    elif (looked > 0).mean() > SELDOM and (looked > 0).sum() > 2:
        return f"at '{quantizer.result}' in {(looked > 0).mean():.0%} of all values", clean
    return "", clean & equal


def _list_quantizers(graph: Graph) -> Iterator[QuantizerNode]:
    """List the quantizers of activations, in the order of the graph."""
    nodes = list(graph.model.graph.node)
    stored = graph.model.graph.initializer
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored}
    computed = {tensor.name for tensor in graph.model.graph.input} - set(constants)
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
        yield QuantizerNode(
            graph=graph.until(nodes[: place + 1]),
            result=str(node.output[0]),
            before=(str(node.input[0]),) if plain else (),
            scale=float(np.max(scale)),
            floors=_mode(node) == "FLOOR",
        )


def _mode(node: NodeProto) -> str:
    for attribute in node.attribute:
        if attribute.name == "rounding_mode":
            return str(helper.get_attribute_value(attribute).decode())
    return ""
