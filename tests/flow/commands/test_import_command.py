"""systolith import: what it writes and prints, and its exit codes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from systolith.exchange import OPERATORS, Format, export_onnx, import_onnx, run_onnx
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.values.value import Absent, Value
from systolith.network import (
    Conv2d,
    forward,
    load,
)
from tests.flow.commands.exchanged import run_command, tiny
from tests.support.onnx_graphs import GraphBuilder

OPERATORS_BEFORE = dict(OPERATORS)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    export_onnx(tiny(), path, Format.QONNX)
    return path


def test_import_shows_layers_and_writes_nothing(model: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    code, shown, said = run_command("import", model)
    assert (code, said) == (0, "")
    for text in ("tiny: input 4x3x3 uint4", "conv", "4x4x2x2 int4", "50%", "2-out-of-4"):
        assert text in shown
    assert "arithmetic: exactly the file's" in shown
    assert sorted(tmp_path.iterdir()) == before


def test_import_writes_the_network_and_what_it_means(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    code, shown, _ = run_command("import", model, "-o", folder)
    assert code == 0
    assert f"results: {folder / 'network.json'}" in shown
    names = {path.name for path in folder.iterdir()}
    assert names == {"network.json", "network.safetensors", "import.json"}
    network, meaning = (
        load(folder / "network.json"),
        json.loads((folder / "import.json").read_text()),
    )
    assert [str(each.pattern) for each in network.layers if isinstance(each, Conv2d)] == [
        "2-out-of-4"
    ]
    assert meaning["exact"] is True
    assert meaning["input"] == {
        "scale": 1.0,
        "zero_point": 0,
        "first_multiply_by": [1.0],
        "then_add": [0.0],
        "rounding": "half_even",
        "zero_point_first": False,
        "low": 0,
        "high": 15,
    }
    assert meaning["check"]["executor"].startswith("QONNX's executor")
    assert meaning["check"]["differing"] == 0 and meaning["rounded"] == {}
    assert meaning["outputs"].keys() == meaning["units"].keys() == {network.outputs[0]}


def test_import_says_what_the_file_was_compared_with(model: Path) -> None:
    _, shown, _ = run_command("import", model)
    assert "check: equal to QONNX's executor" in shown and "random images, all" in shown
    _, shown, _ = run_command("import", model, "--no-check")
    assert "check: not compared with the file, as asked" in shown


def test_disagreement_fails_and_saves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = replace(OPERATORS["Conv"], run=_without_bias)
    monkeypatch.setitem(OPERATORS, "Conv", dropped)  # type: ignore[arg-type]
    code, shown, said = run_command("import", model, "-o", tmp_path / "out")
    assert (code, shown) == (1, "")
    assert "does not compute what QONNX's executor" in said and "--no-check" in said
    assert not (tmp_path / "out").exists()
    assert run_command("import", model, "-o", tmp_path / "out", "--no-check")[0] == 0
    assert json.loads((tmp_path / "out/import.json").read_text())["check"] is None


def _without_bias(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    return OPERATORS_BEFORE["Conv"].run(node, [*values[:2], Absent()], draft)


def test_import_takes_sizes_that_the_file_leaves_open(model: Path, tmp_path: Path) -> None:
    opened = onnx.load(model)
    for dim in opened.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "size"
    onnx.save(opened, model)
    code, _, said = run_command("import", model)
    assert code == 2 and "--input-shape 3,32,32" in said
    code, shown, _ = run_command("import", model, "--input-shape", "4,3,5")
    assert code == 0 and "input 4x3x5 uint4" in shown
    code, _, said = run_command("import", model, "--input-shape", "large")
    assert code == 2 and "--input-shape must be sizes such as 3,32,32, got 'large'" in said


def test_import_names_what_had_to_be_rounded(tmp_path: Path) -> None:
    export_onnx(tiny(), tmp_path / "model.onnx", Format.QONNX)
    model = onnx.load(tmp_path / "model.onnx")
    last = model.graph.output[0].name
    final = next(node for node in model.graph.node if last in node.output)
    while final.op_type != "Conv":
        model.graph.node.remove(final)
        final = next(node for node in model.graph.node if final.input[0] in node.output)
    bias = next(each for each in model.graph.initializer if each.name == final.input[2])
    bias.CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(0.3), bias.name)
    )
    model.graph.output[0].name = final.output[0]
    onnx.save(model, tmp_path / "model.onnx")
    _, shown, _ = run_command("import", tmp_path / "model.onnx")
    assert "which the file leaves unquantized, is rounded to 16 bits, in steps of" in shown


def test_import_as_json_is_all_that_is_printed(model: Path, tmp_path: Path) -> None:
    code, shown, said = run_command("import", model, "-o", tmp_path / "out", "--json")
    assert (code, said) == (0, "")
    described = json.loads(shown)
    (layer,) = described.pop("layers")
    assert described.pop("network") == "tiny"
    assert described == json.loads((tmp_path / "out/import.json").read_text())
    assert (layer["kind"], layer["pattern"], layer["zeros"]) == ("Conv2d", "2-out-of-4", 0.5)
    assert layer["macs"] == 64 * 4


def test_refused_file_leaves_nothing_and_names_every_problem(tmp_path: Path) -> None:
    export_onnx(tiny(), tmp_path / "model.onnx", Format.QONNX)
    broken = onnx.load(tmp_path / "model.onnx")
    (conv,) = (node for node in broken.graph.node if node.op_type == "Conv")
    conv.attribute.append(onnx.helper.make_attribute("dilations", [0, 2]))
    extra = [
        onnx.helper.make_node("LpNormalization", [broken.graph.output[0].name], ["s"], name="odds"),
        onnx.helper.make_node(
            "MeanVarianceNormalization", [broken.graph.output[0].name], ["t"], name="bend"
        ),
    ]
    broken.graph.node.extend(extra)
    for name in ("s", "t"):
        broken.graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        )
    onnx.save(broken, tmp_path / "broken.onnx")
    code, shown, said = run_command(
        "import", tmp_path / "broken.onnx", "-o", tmp_path / "out", "--json"
    )
    assert (code, shown) == (2, "")
    for text in (
        "'conv' (Conv): has dilations [0, 2]",
        "'odds' (LpNormalization): not supp",
        "'bend' (MeanVarianceNormalization): not s",
    ):
        assert text in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"", b"no model at all"])
def test_no_model_is_bad_input(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "missing.onnx"
    if content is not None:
        path.write_bytes(content)
    code, shown, said = run_command("import", path, "-o", tmp_path / "out")
    assert (code, shown) == (2, "")
    assert said.startswith("error: ") and "missing.onnx" in said
    assert not (tmp_path / "out").exists()


def test_imported_network_is_verified_in_rtl(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert run_command("import", model, "-o", folder)[0] == 0
    code, shown, said = run_command(
        "verify", folder / "network.json", "-o", folder / "rtl", "--images", 2, "--json"
    )
    assert code == 0, said
    assert json.loads(shown)["verification"]["passed"]


def test_import_tells_what_is_left_to_the_host(tmp_path: Path) -> None:
    made = GraphBuilder((4, 4, 2))
    x = made.node("Transpose", "x", perm=[0, 3, 1, 2])
    weight = made.stored(np.ones((3, 2, 4, 4)), 0.25)
    y = made.linear(made.node("Conv", x, weight), 1.0, 128)
    y = made.node("Softmax", made.node("Transpose", y, perm=[0, 2, 3, 1]))
    path = made.save(tmp_path / "model.onnx", y)
    code, _, words = run_command("import", path)
    assert code == 2 and "--input-type" in words
    code, shown, _ = run_command(
        "import", path, "--input-type", "int8:1/64", "-o", tmp_path / "network"
    )
    assert code == 0
    notes = [line for line in shown.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2 and "(Softmax) at the end is left to the host" in notes[0]
    assert "it is read as int8 in steps of 0.015625" in notes[1]
    meaning = json.loads((tmp_path / "network/import.json").read_text())
    assert meaning["input"]["image"] == [4, 4, 2]
    assert meaning["input"]["elements"][:3] == [0, 2, 4]
    (output,) = meaning["outputs"].values()
    assert output["shape"] == [1, 1, 3] and output["tensor"] == made.nodes[-1].input[0]
    assert [f"note: {note}" for note in meaning["notes"]] == notes
    code, _, words = run_command("import", path, "--input-type", "int8")
    assert code == 2 and "input_type must be TYPE:SCALE" in words


@pytest.fixture
def float_model(tmp_path: Path) -> Path:
    """A float convolution, pool and matrix product."""
    rng, build = np.random.default_rng(2), GraphBuilder((2, 6, 6))
    x = build.node("Conv", "x", build.const(rng.normal(0, 1, (4, 2, 3, 3))))
    x = build.node("Flatten", build.node("GlobalAveragePool", build.node("Relu", x)))
    x = build.node("MatMul", x, build.const(rng.normal(0, 1, (4, 3))))
    return build.save(tmp_path / "float.onnx", x)


def test_float_file_is_quantized_with_images_and_its_accuracy_shown(
    float_model: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(4).normal(0, 1, (9, 2, 6, 6)).astype(np.float32)
    labels = next(iter(run_onnx(float_model, images).values())).argmax(1)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    folder = tmp_path / "out"
    code, shown, _ = run_command(
        "import", float_model, "--calibrate", tmp_path / "images.npz", "-o", folder
    )
    assert code == 0
    assert "quantized to 8 bits with 9 images by ONNX Runtime" in shown
    assert "equal to ONNX Runtime" in shown and "9 given images" in shown
    assert "accuracy on 9 images: 100.0% in floats, 100.0% in integers" in shown
    meaning = json.loads((folder / "import.json").read_text())
    assert meaning["accuracy"] == {"images": 9, "float": 1.0, "integer": 1.0}
    again, saved = import_onnx(folder / "quantized.onnx"), load(folder / "network.json")
    given = again.quantize_input(images)
    (wanted,), (got,) = (forward(each, given).values() for each in (again.network, saved))
    assert np.array_equal(wanted, got)


def test_the_class_at_the_end_of_a_float_file_is_counted_as_a_class(tmp_path: Path) -> None:
    rng, build = np.random.default_rng(2), GraphBuilder((2, 6, 6))
    x = build.node("Conv", "x", build.const(rng.normal(0, 1, (4, 2, 3, 3))))
    x = build.node("Flatten", build.node("GlobalAveragePool", build.node("Relu", x)))
    path = build.save(tmp_path / "float.onnx", build.node("ArgMax", x, axis=1, keepdims=0))
    images = rng.normal(0, 1, (9, 2, 6, 6)).astype(np.float32)
    labels = next(iter(run_onnx(path, images).values()))
    assert labels.any()
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    for where in ([], ["--class-on-chip"]):
        code, shown, said = run_command(
            "import", path, "--calibrate", tmp_path / "images.npz", *where
        )
        assert code == 0, said
        assert "accuracy on 9 images: 100.0% in floats" in shown


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 1, 6, 6), np.float32), "calibration images must have shape (N, 2, 6, 6)"),
        (np.zeros((0, 2, 6, 6), np.float32), "one image at least is needed"),
    ],
)
def test_images_that_do_not_calibrate_leave_nothing(
    float_model: Path, array: np.ndarray, said: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", array)
    folder = tmp_path / "out"
    code, _, shown = run_command(
        "import", float_model, "--calibrate", tmp_path / "images.npy", "-o", folder
    )
    assert code == 2 and said in " ".join(shown.split()) and not folder.exists()
