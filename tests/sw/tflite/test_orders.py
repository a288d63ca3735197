"""Sequences, shuffles, transposed and several inputs against TFLite's reference kernels."""

from pathlib import Path

import numpy as np
import pytest

from systolith.network import Conv2d, Flatten, Linear, SelectChannels, Upsample
from systolith.tflite import TfliteError, import_tflite
from tests.support.tflite_files import VALID, Moves


@pytest.mark.parametrize("column", [False, True])
def test_sequences_as_keras_writes_them(column: bool, tmp_path: Path) -> None:
    """Convolutions of rows, pools of columns, a mean and a linear layer over time."""
    file = Moves((1, 12, 1, 3) if column else (1, 12, 3))
    x = file.reshape(0, 1, 1, 12, 3)
    x = file.reshape(file.convolve(x, 4, (1, 3)), 1, 10, 4)
    x = file.apply(
        "MAX_POOL_2D", [file.reshape(x, 1, 10, 1, 4)], (1, 5, 1, 4), "Pool2DOptions",
        Padding=VALID, StrideH=2, StrideW=1, FilterHeight=2, FilterWidth=1,
    )  # fmt: skip
    x = file.reshape(x, 1, 5, 4)
    padding = file.constant("padding", np.array([[0, 0], [2, 0], [0, 0]], np.int32))
    x = file.reshape(file.apply("PAD", [x, padding], (1, 7, 4)), 1, 1, 7, 4)
    x = file.reshape(file.convolve(x, 5, (1, 2)), 1, 6, 5)
    x = file.dense(x, 3, keeps=True)
    mean = file.apply("MEAN", [x, file.numbers(1)], (1, 3), "ReducerOptions")
    others = [file.convolve(0, 2, (5, 1))] if column else []
    network = file.check(tmp_path, mean, x, *others).network
    assert network.input.shape == ((3, 12, 1) if column else (3, 1, 12))
    assert [type(layer) for layer in network.layers].count(Conv2d) == 3 + len(others)


def test_shuffled_channels_are_selected(tmp_path: Path) -> None:
    file = Moves((1, 3, 4, 6))
    x = file.convolve(0, 6, (1, 1))
    x = file.transpose(file.reshape(x, 1, 3, 4, 2, 3), 0, 1, 2, 4, 3)
    x = file.convolve(file.reshape(x, 1, 3, 4, 6), 2, (2, 2))
    layers = file.check(tmp_path, x).network.layers
    assert [type(layer) for layer in layers] == [Conv2d, SelectChannels, Conv2d]


def test_images_of_pytorch_are_transposed_at_the_input_and_before_vectors(tmp_path: Path) -> None:
    """Both cost nothing: the input is taken in the file's order, weights are reordered."""
    file = Moves((1, 3, 4, 5))
    x = file.convolve(file.transpose(0, 0, 2, 3, 1), 2, (2, 2))
    x = file.dense(file.reshape(file.transpose(x, 0, 3, 1, 2), 1, 24), 3)
    imported = file.check(tmp_path, x)
    assert [type(layer) for layer in imported.network.layers] == [Conv2d, Flatten, Linear]
    assert imported.input_shape == imported.network.input.shape == (3, 4, 5)


def test_a_mean_over_all_pixels_in_one_line(tmp_path: Path) -> None:
    file = Moves((1, 3, 4, 2))
    line = file.reshape(file.convolve(0, 2, (1, 1)), 1, 12, 2)
    file.check(tmp_path, file.apply("MEAN", [line, file.numbers(1)], (1, 2), "ReducerOptions"))


def test_pixels_repeated_as_keras_resizes(tmp_path: Path) -> None:
    """Rows, then columns: a new axis, TILE and RESHAPE for each."""
    file = Moves((1, 3, 4, 2))
    x = file.convolve(0, 2, (1, 1))
    x, times = file.reshape(x, 1, 3, 1, 4, 2), file.numbers(1, 1, 2, 1, 1)
    x = file.apply("TILE", [x, times], (1, 3, 2, 4, 2))
    x = file.reshape(file.reshape(x, 1, 6, 4, 2), 1, 6, 4, 1, 2)
    x = file.apply("TILE", [x, file.numbers(1, 1, 1, 3, 1)], (1, 6, 4, 3, 2))
    x = file.convolve(file.reshape(x, 1, 6, 12, 2), 2, (2, 2))
    layers = file.check(tmp_path, x).network.layers
    assert [type(layer) for layer in layers] == [Conv2d, Upsample, Conv2d]


def test_gates_of_linear_layers_are_convolutions_of_a_pixel(tmp_path: Path) -> None:
    """Squeeze and excitation: the vector becomes an image again."""
    file = Moves((1, 3, 4, 4))
    mean = file.apply("MEAN", [0, file.numbers(1, 2)], (1, 4), "ReducerOptions")
    gate = file.reshape(file.dense(file.dense(mean, 2), 4), 1, 1, 1, 4)
    scaled = file.apply("MUL", [0, gate], (1, 3, 4, 4), "MulOptions")
    layers = file.check(tmp_path, scaled).network.layers
    assert [type(layer) for layer in layers].count(Conv2d) == 2


def test_parts_of_any_axis(tmp_path: Path) -> None:
    """Gathered, stacked, unstacked and dropped axes, and outputs in any order."""
    file = Moves((1, 4, 5, 3))
    turned = file.apply(
        "GATHER", [0, file.numbers(2, 0, 1, 0)], (1, 4, 5, 4), "GatherOptions", Axis=3
    )
    rows = [file.like(f"row{k}", (1, 5, 3)) for k in range(4)]
    file.operator("UNPACK", [0], rows, "UnpackOptions", Num=4, Axis=1)
    stacked = file.apply("PACK", rows[2:], (1, 5, 2, 3), "PackOptions", ValuesCount=2, Axis=2)
    joined = file.apply("CONCATENATION", rows[:2], (1, 10, 3), "ConcatenationOptions", Axis=1)
    bounds = [file.numbers(0, 1, 0, 0), file.numbers(1, 2, 5, 3), file.numbers(1, 1, 1, 1)]
    dropped = file.apply(
        "STRIDED_SLICE", [0, *bounds], (1, 5, 3), "StridedSliceOptions", BeginMask=10,
        ShrinkAxisMask=2,
    )  # fmt: skip
    file.check(tmp_path, file.convolve(turned, 2, (2, 2)), stacked, joined, dropped)


@pytest.mark.parametrize("shapes", [((1, 4, 5, 2), (1, 4, 5, 3)), ((1, 4), (1, 3))])
def test_several_inputs_are_channels_of_one(
    shapes: tuple[tuple[int, ...], ...], tmp_path: Path
) -> None:
    file = Moves(*shapes)
    outputs = [file.dense(number, 2) for number in (1, 0)]
    imported = file.check(tmp_path, *outputs)
    assert imported.input_tensor == "input0, input1"
    assert imported.input_shape == (*shapes[0][1:-1], sum(shape[-1] for shape in shapes))


def test_inputs_of_other_sizes_are_refused(tmp_path: Path) -> None:
    file = Moves((1, 4, 5, 2), (1, 4, 4, 2))
    file.outputs = [file.dense(0, 2), file.dense(1, 2)]
    with pytest.raises(TfliteError, match="input: 'input1' and 'input0' differ in size, scale or"):
        import_tflite(file.write(tmp_path / "m.tflite"))


def test_pixels_in_another_order_are_no_image(tmp_path: Path) -> None:
    file = Moves((1, 4, 5, 2))
    pooled = file.apply(
        "MAX_POOL_2D", [0], (1, 4, 5, 2), "Pool2DOptions", StrideH=1, StrideW=1, FilterHeight=1,
        FilterWidth=1,
    )  # fmt: skip
    file.outputs = [file.convolve(file.transpose(pooled, 0, 2, 1, 3), 2, (2, 2))]
    with pytest.raises(TfliteError, match="which is no image of the network$"):
        import_tflite(file.write(tmp_path / "m.tflite"))


def test_groups_and_computed_shapes(tmp_path: Path) -> None:
    """A convolution of groups, and a RESHAPE whose shape Keras computes from the batch."""
    file = Moves((1, 3, 4, 6))
    values = file.rng.integers(-127, 128, (4, 2, 2, 3), dtype=np.int8)
    weight = file.constant("weight", values, scale=0.004)
    bias = file.constant("bias", np.zeros(4, np.int32))
    x = file.apply(
        "CONV_2D", [0, weight, bias], (1, 2, 3, 4), "Conv2DOptions", Padding=VALID, StrideH=1,
        StrideW=1, DilationHFactor=1, DilationWFactor=1,
    )  # fmt: skip
    sizes, batch, wanted = (
        file.tensor(name, shape, dtype="int32")
        for name, shape in (("sizes", (4,)), ("batch", ()), ("wanted", (2,)))
    )
    file.operator("SHAPE", [x], [sizes], "ShapeOptions", OutType=2)
    bounds = [file.numbers(0), file.numbers(1), file.numbers(1)]
    file.operator(
        "STRIDED_SLICE", [sizes, *bounds], [batch], "StridedSliceOptions", ShrinkAxisMask=1
    )
    features = file.constant("features", np.array(24, np.int32))
    file.operator("PACK", [batch, features], [wanted], "PackOptions", ValuesCount=2)
    flat = file.apply("RESHAPE", [x, wanted], (1, 24))
    imported = file.check(tmp_path, file.dense(flat, 3))
    assert [type(layer) for layer in imported.network.layers] == [Conv2d, Flatten, Linear]
