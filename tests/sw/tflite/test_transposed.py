"""Transposed convolutions against TFLite's reference kernels."""

from pathlib import Path

import numpy as np
import pytest

from systolith.network import Conv2d, DepthToSpace, Pad2d
from systolith.tflite import import_tflite
from tests.support.tflite_files import TfliteFile

SAME, VALID = 0, 1
RELU = 1


def _file(
    kernel: tuple[int, int], size: tuple[int, int], padding: int, strides: tuple[int, int]
) -> TfliteFile:
    """A transposed convolution of an image of 3 x 4 pixels."""
    file, rng = TfliteFile(), np.random.default_rng(kernel[0])
    file.inputs = [file.tensor("input", (1, 3, 4, 2), 0.05, 7)]
    weight = rng.integers(-127, 128, (3, *kernel, 2), dtype=np.int8)
    inputs = [
        file.constant("shape", np.array([1, *size, 3], np.int32)),
        file.constant("model/up/kernel", weight, scale=rng.uniform(0.001, 0.004, 3)),
        0,
        file.constant("bias", rng.integers(-999, 999, 3, dtype=np.int32)),
    ]
    file.outputs = [file.tensor("model/up/output", (1, *size, 3), 0.06, -9)]
    file.operator(
        "TRANSPOSE_CONV", inputs, file.outputs, "TransposeConvOptions", Padding=padding,
        StrideH=strides[0], StrideW=strides[1], FusedActivationFunction=RELU,
    )  # fmt: skip
    return file


@pytest.mark.parametrize(
    ("kernel", "size", "padding", "strides"),
    [
        ((3, 3), (6, 8), SAME, (2, 2)),
        ((2, 2), (6, 8), VALID, (2, 2)),
        ((4, 3), (5, 7), SAME, (2, 2)),
        ((2, 5), (8, 14), VALID, (3, 3)),
        ((3, 2), (3, 4), SAME, (1, 1)),
        ((3, 3), (6, 4), SAME, (2, 1)),
        ((2, 4), (3, 12), SAME, (1, 3)),
    ],
)
def test_equal_to_the_kernel(
    kernel: tuple[int, int],
    size: tuple[int, int],
    padding: int,
    strides: tuple[int, int],
    tmp_path: Path,
) -> None:
    file = _file(kernel, size, padding, strides)
    imported = import_tflite(file.write(tmp_path / "m.tflite"))
    kinds = {type(layer) for layer in imported.network.layers}
    assert kinds <= {Conv2d, DepthToSpace, Pad2d}
    assert imported.network.outputs == ("up",)
