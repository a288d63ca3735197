"""Random ONNX graphs through the ONNX door; and doors that are broken on purpose."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from systolith.exchange import ImportedModel, import_onnx
from systolith.fuzz import FindingKind, SeededChoices, search
from systolith.fuzz.graphs import Graph, GraphTarget, draw_graph, judge_graph

SEED, DRAWS, CASES = 20263, 230, 30

Read = Callable[[Path], ImportedModel]


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    return [draw_graph(SeededChoices(f"{SEED}/{number}")) for number in range(DRAWS)]


def test_equal_seeds_draw_equal_graphs(graphs: list[Graph]) -> None:
    again = [draw_graph(SeededChoices(f"{SEED}/{number}")) for number in range(10)]
    assert [graph.key for graph in again] == [graph.key for graph in graphs[:10]]
    assert len({graph.key for graph in graphs}) == DRAWS


def test_a_saved_graph_is_the_same_graph(graphs: list[Graph], tmp_path: Path) -> None:
    for graph in graphs[:10]:
        graph.save(tmp_path)
        kept = Graph.load(tmp_path)
        assert (kept.key, kept.qonnx, kept.dyadic) == (graph.key, graph.qonnx, graph.dyadic)
        assert kept.types == graph.types


def test_a_folder_that_holds_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text("{}")
    with pytest.raises(ValueError, match="does not hold an ONNX graph"):
        Graph.load(tmp_path)


def test_every_flavour_and_much_else_is_drawn(graphs: list[Graph]) -> None:
    covered = {what for graph in graphs for what in graph.covers}
    assert covered >= {"QDQ", "QONNX", "on integers", "dyadic", "any scales", "Constant node"}
    assert covered >= {"initializers listed as inputs", "Conv", "Gemm", "MatMul", "QLinearConv"}
    assert covered >= {"BatchNormalization", "Relu", "Clip", "MaxPool", "AveragePool", "Add"}
    assert len({what for what in covered if what.startswith("operator set")}) >= 8


@pytest.mark.filterwarnings("ignore")
def test_random_graphs_are_equal_or_refused(graphs: list[Graph]) -> None:
    verdicts = {number: judge_graph(graph) for number, graph in enumerate(graphs[:CASES])}
    assert {n: each.findings for n, each in verdicts.items() if not each.passed} == {}
    accepted = [number for number, each in verdicts.items() if each.outcome == "accepted"]
    assert len(accepted) > CASES / 3, "a door that refuses most is hardly tested"


def _changed(change: Callable[[ModelProto], None]) -> Read:
    """Import a file after it was changed: as a door does that overlooks something."""

    def read(path: Path) -> ImportedModel:
        model = onnx.load(path)
        change(model)
        onnx.save(model, path)
        return import_onnx(path)

    return read


def _without(model: ModelProto, *names: str) -> None:
    for node in model.graph.node:
        kept = [each for each in node.attribute if each.name not in names]
        del node.attribute[:]
        node.attribute.extend(kept)


def _attributes_ignored(model: ModelProto) -> None:
    _without(model, "dilations", "ceil_mode", "auto_pad")


def _integer_operators_dropped(model: ModelProto) -> None:
    """Read what follows QuantizeLinear directly, past a Clip or Relu of integers."""
    instead = {}
    quantized = {n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = instead.get(name, name)
        if node.op_type in ("Clip", "Relu") and node.input[0] in quantized:
            instead[node.output[0]] = node.input[0]


def _relu_dropped(model: ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Identity"


def _zero_points_lost(model: ModelProto) -> None:
    """Read integers as if all had zero point 0."""
    zeros = {
        n.input[2] for n in model.graph.node if n.op_type.endswith("izeLinear") and len(n.input) > 2
    }
    for each in model.graph.initializer:
        if each.name in zeros:
            empty = np.zeros(list(each.dims), helper.tensor_dtype_to_np_dtype(each.data_type))
            each.CopyFrom(onnx.numpy_helper.from_array(empty, each.name))


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (_relu_dropped, 4),
        (_zero_points_lost, 0),
        (_attributes_ignored, 10),
        (_integer_operators_dropped, 45),
    ],
)
def test_a_broken_door_is_found_and_its_graph_shrunk_kept_and_replayed(
    change: Callable[[ModelProto], None], first: int, tmp_path: Path
) -> None:
    read = _changed(change)
    result = search(
        GraphTarget(read), 200, SEED, tmp_path, first=first, shrink_attempts=25, seconds=60
    )
    (failure,) = result.failures
    assert failure.verdict.kinds == {FindingKind.MISMATCH} and result.ended["wrong"] == 1
    drawn = draw_graph(SeededChoices(f"{SEED}/{failure.number}"))
    kept = Graph.load(failure.folder)
    assert len(kept.model.graph.node) <= len(drawn.model.graph.node)
    assert judge_graph(kept, read) == failure.verdict
    assert judge_graph(drawn).passed, "the door itself is as it must be"


def test_an_exception_is_a_finding() -> None:
    def broken(path: Path) -> ImportedModel:
        raise IndexError("no such thing")

    verdict = judge_graph(draw_graph(SeededChoices("0/0")), broken)
    assert verdict.findings == ((FindingKind.ERROR, "IndexError: no such thing"),)


def test_values_are_moved_joined_and_split(graphs: list[Graph]) -> None:
    covered = {what for graph in graphs for what in graph.covers}
    assert covered >= {"Concat", "Split", "Slice", "Gather", "Pad"}
    assert covered >= {"DepthToSpace", "SpaceToDepth", "Resize"}


def test_products_transposed_convolutions_and_thresholds_are_drawn(graphs: list[Graph]) -> None:
    covered = {what for graph in graphs for what in graph.covers}
    assert covered >= {"Mul", "QLinearMul", "ConvTranspose", "MultiThreshold", "Sub", "Div"}
