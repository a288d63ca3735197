"""An ARG_MAX at the end of a file, found on the chip: the classes of the reference kernels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from systolith.network import ArgMax, forward
from systolith.tflite import TfliteError, import_tflite, run_kernels
from tests.support.tflite_files import TfliteFile


def _end(file: TfliteFile, source: int, axis: int) -> None:
    shape = file.tensors[source].shape
    wanted = file.constant("axis", np.array([axis], np.int32))
    kept = tuple(size for place, size in enumerate(shape) if place != axis % len(shape))
    file.outputs = [file.tensor("class", kept, dtype="int32")]
    file.operator("ARG_MAX", [source, wanted], file.outputs, "ArgMaxOptions", OutputType=2)


def _dense(file: TfliteFile) -> int:
    file.inputs = [file.tensor("input", (1, 4), 0.1)]
    weights = np.random.default_rng(0).integers(-9, 10, (5, 4)).astype(np.int8)
    weight = file.constant("model/dense/MatMul", weights, scale=0.1)
    result = file.tensor("model/dense/BiasAdd", (1, 5), 20.0, 3)
    file.operator("FULLY_CONNECTED", [0, weight], [result], "FullyConnectedOptions")
    return result


def _vector(axis: int = 1) -> TfliteFile:
    file = TfliteFile()
    _end(file, _dense(file), axis)
    return file


def _image(axis: int = -1) -> TfliteFile:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 3, 4, 6), 0.1)]
    result = file.tensor("relu", (1, 3, 4, 6), 0.1, -100)
    file.operator("RELU", [0], [result])
    _end(file, result, axis)
    return file


@pytest.mark.parametrize("make", [_vector, _image])
def test_classes_are_those_of_the_kernels(make: Callable[[], TfliteFile], tmp_path: Path) -> None:
    path = make().write(tmp_path / "m.tflite")
    found = import_tflite(path, class_on_chip=True)
    (output,) = found.network.outputs
    assert isinstance(found.network[output], ArgMax) and found.notes == ()
    assert found.agreement is not None and found.scales == {output: 1.0}
    images = np.random.default_rng(1).integers(-128, 128, (50, *found.input_shape))
    (theirs,) = run_kernels(path, images.astype(np.int8))
    integers = found.arrange_input(images)
    ours = found.arrange_outputs(forward(found.network, integers))[output]
    assert ours.shape == theirs.shape and np.array_equal(ours, theirs)
    (logits,) = forward(import_tflite(path).network, integers).values()
    assert (np.diff(np.sort(logits, axis=1)[:, -2:], axis=1) == 0).any(), "equal greatest logits"


def test_a_file_without_classes_gets_them(tmp_path: Path) -> None:
    file = TfliteFile()
    file.outputs = [_dense(file)]
    found = import_tflite(file.write(tmp_path / "m.tflite"), class_on_chip=True)
    (output,) = found.network.outputs
    assert output.endswith("_class")
    wanted = "is the class of 'model/dense/BiasAdd', found on the chip"
    assert found.notes == (f"output '{output}' {wanted}",)


@pytest.mark.parametrize(("make", "axis"), [(_image, 1), (_image, 2), (_vector, 0)])
def test_other_axes_are_refused(
    make: Callable[[int], TfliteFile], axis: int, tmp_path: Path
) -> None:
    path = make(axis).write(tmp_path / "m.tflite")
    with pytest.raises(TfliteError, match=f"needs the last axis, that of channels, got {axis}"):
        import_tflite(path, class_on_chip=True, check=False)
