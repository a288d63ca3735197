"""Files that cannot become networks: all problems at once, by name, with a rewrite."""

from pathlib import Path

import numpy as np
import pytest

from systolith.tflite import TfliteError, import_tflite
from tests.support.tflite_files import TfliteFile

WITHOUT_KERNEL = (
    "is not supported; TFLite's reference kernels have none; use GELU, LEAKY_RELU or RELU"
)
SYMMETRIC = "has weights with a zero point; symmetric weights are supported"


def _problems(file: TfliteFile, path: Path) -> list[str]:
    file.write(path)
    with pytest.raises(TfliteError) as error:
        import_tflite(path)
    return list(error.value.problems)


def _dense(file: TfliteFile, source: int, name: str, **weights: object) -> int:
    features = file.tensors[source].shape[1]
    values = np.ones((2, features), dtype=np.int8)
    fields = {"scale": 0.01} | weights
    weight = file.constant(f"model/{name}/MatMul", values, **fields)
    result = file.tensor(f"model/{name}/BiasAdd", (1, 2), 0.1, 3)
    file.operator("FULLY_CONNECTED", [source, weight], [result], "FullyConnectedOptions")
    return result


def test_all_unsupported_operators_are_listed(tmp_path: Path) -> None:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 4), 0.1)]
    first = _dense(file, 0, "first")
    swished = file.tensor("model/swish/mul", (1, 2), 0.1)
    file.operator("ELU", [first], [swished])
    second = _dense(file, swished, "second", zero=5)
    turned = file.tensor("turned", (1, 2), 0.1)
    file.operator("SVDF", [second], [turned])
    third = _dense(file, first, "third", zero=5)
    file.outputs = [turned, third]
    assert _problems(file, tmp_path / "m.tflite") == [
        f"operator 1, ELU of 'model/swish/mul': {WITHOUT_KERNEL}",
        "operator 3, SVDF of 'turned': is not supported; use a depthwise convolution over time",
        f"operator 4, FULLY_CONNECTED of 'model/third/BiasAdd': {SYMMETRIC}",
    ]


def test_other_types_than_int8(tmp_path: Path) -> None:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 4), dtype="float32")]
    file.outputs = [file.tensor("output", (1, 4), dtype="float32")]
    file.operator("RELU", [0], [1])
    (problem,) = _problems(file, tmp_path / "m.tflite")
    assert problem.startswith("input: has the float32 activation 'input'; convert the model with")


def test_the_softmax_at_the_end_is_left_to_the_host(tmp_path: Path) -> None:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 4), 0.1)]
    first = _dense(file, 0, "first")
    file.outputs = [file.tensor("probabilities", (1, 2), 1 / 256, -128)]
    file.operator("SOFTMAX", [first], file.outputs, "SoftmaxOptions", Beta=1.0)
    imported = import_tflite(file.write(tmp_path / "m.tflite"))
    assert imported.network.outputs == ("first",)
    (note,) = imported.notes
    assert note.startswith("SOFTMAX of 'probabilities' is left to the host: ")
    assert note.endswith(" the network's output is 'model/first/BiasAdd'")


def test_the_class_at_the_end_is_left_to_the_host(tmp_path: Path) -> None:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 4), 0.1)]
    first = _dense(file, 0, "first")
    axis = file.constant("axis", np.array([1], np.int32))
    file.outputs = [file.tensor("class", (1,), dtype="int32")]
    file.operator("ARG_MAX", [first, axis], file.outputs, "ArgMaxOptions", OutputType=2)
    imported = import_tflite(file.write(tmp_path / "m.tflite"))
    assert imported.network.outputs == ("first",)
    (note,) = imported.notes
    assert note.startswith("ARG_MAX of 'class' is left to the host: ")


def test_a_softmax_within_is_refused(tmp_path: Path) -> None:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 4), 0.1)]
    first = _dense(file, 0, "first")
    within = file.tensor("probabilities", (1, 2), 1 / 256, -128)
    file.operator("SOFTMAX", [first], [within], "SoftmaxOptions", Beta=1.0)
    file.outputs = [_dense(file, within, "second")]
    (problem,) = _problems(file, tmp_path / "m.tflite")
    assert problem.startswith(
        "operator 1, SOFTMAX of 'probabilities': is supported at the end only"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"^there is no file '.*m\.tflite'$"),
        (b"\x08\x00\x00\x00ONNX" + bytes(40), r"is no TFLite file: it does not begin with 'TFL3'$"),
        (b"\xff\xff\x00\x00TFL3" + bytes(8), r"^'.*m\.tflite' is damaged: "),
    ],
)
def test_damaged_files(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TfliteError, match=message):
        import_tflite(path)


def test_truncated_files_never_crash(tmp_path: Path) -> None:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 4), 0.1)]
    file.outputs = [_dense(file, 0, "first")]
    path = file.write(tmp_path / "m.tflite")
    content = path.read_bytes()
    for size in range(0, len(content), 16):
        path.write_bytes(content[:size])
        with pytest.raises(TfliteError):
            import_tflite(path, check=False)
