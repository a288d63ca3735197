"""Reshaping, reordering and padding, before the first quantizer and between layers."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import AvgPool2d, Flatten, Linear
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime


def _weights(made: GraphBuilder, *shape: int) -> str:
    return made.stored(np.random.default_rng(0).integers(-9, 10, shape), 0.25)


def _quantized(made: GraphBuilder, y: str, path: Path, opset: int = 17) -> Path:
    return made.save(path, made.linear(y, 2.0, 128), opset=opset)


def _shape(made: GraphBuilder, *sizes: int) -> str:
    return made.const(sizes, np.int64)


def test_flatten_before_the_first_quantizer(tmp_path: Path) -> None:
    made = GraphBuilder((1, 4, 5))
    x = made.linear(made.node("Flatten", "x"), 0.125, 100)
    path = _quantized(made, made.node("MatMul", x, _weights(made, 20, 3)), tmp_path / "flat.onnx")
    found = equal_to_runtime(path)
    assert found.input.shape == (1, 4, 5) and found.network.input.shape == (20,)
    with pytest.raises(
        ExchangeError, match=r"images must have shape \(N, 1, 4, 5\), as the file's"
    ):
        found.quantize_input(np.zeros((2, 20)))


@pytest.mark.parametrize("sizes", [(-1, 20), (0, -1), (-1, 2, 10), (0, 2, 2, 5)])
def test_reshape_of_images_in_one_way_or_another(sizes: tuple[int, ...], tmp_path: Path) -> None:
    made = GraphBuilder((1, 4, 5))
    x = made.node("Reshape", "x", _shape(made, *sizes))
    x = made.linear(made.node("Reshape", x, _shape(made, -1, 20)), 0.125, 100)
    y = made.node("MatMul", x, _weights(made, 20, 3))
    equal_to_runtime(_quantized(made, y, tmp_path / "reshaped.onnx"))


def test_reshape_of_vectors_to_images(tmp_path: Path) -> None:
    made = GraphBuilder((16,))
    x = made.linear(made.node("Reshape", "x", _shape(made, -1, 1, 4, 4)), 0.125, 100)
    y = made.node("Conv", x, _weights(made, 3, 1, 3, 3))
    found = equal_to_runtime(_quantized(made, y, tmp_path / "image.onnx"))
    assert found.input.shape == (16,) and found.network.input.shape == (1, 4, 4)


@pytest.mark.parametrize("sizes", [(-1,), (-1, 10), (2, -1, 3), (0, 3, -1), (0, 21)])
def test_reshape_that_mixes_images_is_refused(sizes: tuple[int, ...], tmp_path: Path) -> None:
    made = GraphBuilder((1, 4, 5))
    x = made.linear(made.node("Reshape", "x", _shape(made, *sizes)), 0.125, 100)
    with pytest.raises(ExchangeError, match=r"to \(N, 1, 4, 5\), which mixes images of a batch"):
        import_onnx(made.save(tmp_path / "mixed.onnx", x))


@pytest.mark.parametrize("axis", [1, -3, 2])
def test_flatten_from_equivalent_axes(axis: int, tmp_path: Path) -> None:
    made = GraphBuilder((1, 4, 5))
    x = made.linear(made.node("Flatten", "x", axis=axis), 0.125, 100)
    y = made.node("MatMul", x, _weights(made, 20, 3))
    equal_to_runtime(_quantized(made, y, tmp_path / "flat.onnx"))


@pytest.mark.parametrize("axis", [0, 2, 3])
def test_flatten_from_other_axes_is_refused(axis: int, tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 5))
    x = made.linear(made.node("Flatten", made.linear("x", 0.125), axis=axis), 0.125, 100)
    with pytest.raises(ExchangeError, match=f"flattens .* from axis {axis}; axis 1 is supported"):
        import_onnx(made.save(tmp_path / "flat.onnx", x))


@pytest.mark.parametrize("when", ["before", "after", "integers"])
def test_channels_last_images(when: str, tmp_path: Path) -> None:
    integers = when == "integers"
    made = GraphBuilder((4, 5, 2), element=TensorProto.INT8 if integers else TensorProto.FLOAT)
    x = "x"
    if integers:
        x = made.node("DequantizeLinear", "x", made.const(0.5), made.const(-3, np.int8))
    elif when == "after":
        x = made.linear("x", 0.125, 100)
    x = made.node("Transpose", x, perm=[0, 3, 1, 2])
    x = made.linear(x, 0.125, 100) if when == "before" else x
    y = made.node("Conv", x, _weights(made, 3, 2, 3, 3))
    images = np.random.default_rng(0).integers(-128, 128, (9, 4, 5, 2))
    given = images.astype(np.int8) if integers else (images / 16).astype(np.float32)
    found = equal_to_runtime(_quantized(made, y, tmp_path / "last.onnx"), given)
    assert found.input.shape == (4, 5, 2) and found.network.input.shape == (2, 4, 5)


@pytest.mark.parametrize("op", ["Unsqueeze", "Reshape", "Flatten"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_images_without_an_axis_of_channels(when: str, op: str, tmp_path: Path) -> None:
    made = GraphBuilder((4, 5))
    x = made.linear("x", 0.125, 100) if when == "after" else "x"
    more = {"Unsqueeze": [[1]], "Reshape": [[-1, 1, 4, 5]], "Flatten": []}[op]
    x = made.node(op, x, *[_shape(made, *sizes) for sizes in more])
    x = made.linear(x, 0.125, 100) if when == "before" else x
    if op == "Flatten":
        y = made.node("MatMul", x, _weights(made, 20, 3))
    else:
        y = made.node("Conv", x, _weights(made, 3, 1, 3, 3))
    assert equal_to_runtime(_quantized(made, y, tmp_path / "grey.onnx")).input.shape == (4, 5)


def test_other_data_are_vectors_for_what_looks_at_elements_only(tmp_path: Path) -> None:
    made = GraphBuilder((4, 5))
    y = made.node("Relu", made.linear("x", 0.125, 100))
    found = equal_to_runtime(made.save(tmp_path / "rows.onnx", made.linear(y, 0.25, 0)))
    assert found.network.input.shape == (20,)
    made = GraphBuilder((4, 5))
    y = made.node("GlobalMaxPool", made.node("Relu", made.linear("x", 0.125, 100)))
    with pytest.raises(ExchangeError, match=r"is \(20,\) reordered; the layer's own order"):
        import_onnx(_quantized(made, y, tmp_path / "pooled.onnx"))


def test_one_constant_of_many_axes_before_the_image_is_flattened(tmp_path: Path) -> None:
    made = GraphBuilder((1, 4, 5))
    x = made.node("Add", "x", made.const(np.full((1, 1, 1, 1), 2.0)))
    x = made.linear(made.node("Flatten", x), 0.125, 100)
    y = made.node("MatMul", x, _weights(made, 20, 3))
    found = equal_to_runtime(_quantized(made, y, tmp_path / "one.onnx"))
    assert found.quantize_input(np.zeros((2, 1, 4, 5))).shape == (2, 20)


def test_other_data_normalized_by_column(tmp_path: Path) -> None:
    made = GraphBuilder((4, 5))
    x = made.node("Sub", "x", made.const(np.arange(5)))
    y = made.node("Reshape", made.linear(x, 0.125, 100), _shape(made, -1, 20))
    y = made.node("MatMul", made.linear(y, 0.25, 90), _weights(made, 20, 3))
    equal_to_runtime(_quantized(made, y, tmp_path / "columns.onnx"))


def test_normalized_per_channel_before_it_is_moved(tmp_path: Path) -> None:
    made = GraphBuilder((4, 5, 2))
    x = made.node("Sub", "x", made.const([0.5, -1.25]))
    x = made.node("Transpose", made.node("Mul", x, made.const([0.5, 2.0])), perm=[0, 3, 1, 2])
    x = made.node("Add", x, made.const(np.array([0.25, 1.0]).reshape(1, 2, 1, 1)))
    x = made.node("Pad", x, _shape(made, 0, 0, 0, 1, 0, 0, 2, 0), made.const(0.75))
    x = made.linear(made.node("Relu", x), 0.125, 10)
    y = made.node("Conv", x, _weights(made, 3, 2, 3, 3))
    equal_to_runtime(_quantized(made, y, tmp_path / "normalized.onnx"))


def test_host_computes_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Two roundings of float32 are not one: dividing is not multiplying by the inverse."""
    made = GraphBuilder((3, 8, 8))
    mean = made.const(np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
    deviation = made.const(np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))
    x = made.node("Div", made.node("Sub", "x", mean), deviation)
    # So fine a step that the last bits of float32 are seen.
    x = made.linear(x, 2.0**-13, 0, np.int16)
    path = made.save(
        tmp_path / "order.onnx", made.linear(made.node("Relu", x), 2.0**-13, 0, np.int16), opset=21
    )
    rng = np.random.default_rng(0)
    equal_to_runtime(path, rng.random((40, 3, 8, 8), dtype=np.float32))


@pytest.mark.parametrize("between", ["Relu", "Add", "Quantizer"])
def test_transposes_in_pairs(between: str, tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 5))
    x = made.node("Conv", made.linear("x", 0.125, 100), _weights(made, 3, 2, 3, 3))
    if between == "Add":
        x = made.linear(x, 1.0, 100)
    y = made.node("Transpose", x, perm=[0, 2, 3, 1])
    if between == "Relu":
        # Channels last, a bias stands on the last axis.
        y = made.node("Relu", made.node("Add", y, made.const([0.25, -1.0, 2.0])))
    elif between == "Add":
        y = made.node("Add", y, y)
    else:
        y = made.linear(y, 0.5, 90)
    y = made.node("Transpose", y, perm=[0, 3, 1, 2])
    y = made.node("Conv", made.linear(y, 1.0, 100), _weights(made, 2, 3, 1, 1))
    equal_to_runtime(_quantized(made, y, tmp_path / "pair.onnx"))


def test_flattened_channels_last_is_an_order_of_columns(tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 5))
    x = made.linear(
        made.node("Conv", made.linear("x", 0.125, 100), _weights(made, 3, 2, 2, 2)), 1.0
    )
    x = made.node("Reshape", made.node("Transpose", x, perm=[0, 2, 3, 1]), _shape(made, -1, 36))
    y = made.node("MatMul", x, _weights(made, 36, 3))
    found = equal_to_runtime(_quantized(made, y, tmp_path / "columns.onnx"))
    assert [type(layer) for layer in found.network.layers][1:] == [Flatten, Linear]


def test_transpose_of_one_pixel_moves_nothing(tmp_path: Path) -> None:
    made = GraphBuilder((4, 4, 4))
    x = made.node("GlobalAveragePool", made.linear("x", 0.125, 100))
    x = made.node("Transpose", made.linear(x, 0.125, 100), perm=[0, 2, 3, 1])
    x = made.node("Reshape", x, _shape(made, -1, 4))
    y = made.node("MatMul", x, _weights(made, 4, 3))
    equal_to_runtime(_quantized(made, y, tmp_path / "pixel.onnx"))


def test_results_are_shaped_as_the_file_has_them(tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 5))
    y = made.node("Conv", made.linear("x", 0.125, 100), _weights(made, 3, 2, 3, 3))
    y = made.node("Transpose", made.linear(y, 2.0, 128), perm=[0, 2, 3, 1])
    found = equal_to_runtime(made.save(tmp_path / "last.onnx", y))
    ((name, order),) = found.orders.items()
    assert order.shape == (2, 3, 3) and found.network.tensors[name].shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("op", "perm", "words"),
    [
        ("MaxPool", [0, 2, 3, 1], r"reads shape \(2, 3, 3\), which is \(3, 2, 3\) reordered"),
        ("Relu", [1, 0, 2, 3], r"by \(1, 0, 2, 3\); the batch must stay first"),
    ],
)
def test_layers_that_read_another_order_are_refused(
    op: str, perm: list[int], words: str, tmp_path: Path
) -> None:
    made = GraphBuilder((2, 4, 5))
    y = made.node("Conv", made.linear("x", 0.125, 100), _weights(made, 3, 2, 3, 3))
    y = made.node("Transpose", made.linear(y, 2.0, 128), perm=perm)
    how = {"kernel_shape": [2, 2]} if op == "MaxPool" else {}
    path = _quantized(made, made.node(op, y, **how), tmp_path / "order.onnx")
    with pytest.raises(ExchangeError, match=words):
        import_onnx(path)


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
@pytest.mark.parametrize("form", ["attribute", "input"])
def test_squeeze_counts_axes_from_either_end(form: str, axes: list[int], tmp_path: Path) -> None:
    made = GraphBuilder((4, 4, 4))
    x = made.linear(made.node("GlobalAveragePool", made.linear("x", 0.125, 100)), 0.125, 100)
    if form == "input":
        x = made.node("Squeeze", x, _shape(made, *axes))
    elif min(axes) < 0:
        return
    else:
        x = made.node("Squeeze", x, axes=axes)
    y = made.node("MatMul", x, _weights(made, 4, 3))
    opset = 17 if form == "input" else 12
    equal_to_runtime(_quantized(made, y, tmp_path / "squeezed.onnx", opset=opset))


@pytest.mark.parametrize(
    ("axes", "words"),
    [([], "names no axes"), ([0], r"names axes \[0\]"), ([1], r"squeezes axes \[1\] of")],
)
def test_other_squeezes_are_refused(axes: list[int], words: str, tmp_path: Path) -> None:
    made = GraphBuilder((4, 1, 1))
    x = made.linear("x", 0.125, 100)
    x = made.node("Squeeze", x, *([_shape(made, *axes)] if axes else []))
    with pytest.raises(ExchangeError, match=words):
        import_onnx(made.save(tmp_path / "squeezed.onnx", x))


@pytest.mark.parametrize("where", ["quantized fill", "before a quantizer", "axes", "layer"])
def test_padding(where: str, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    pads = [0, 0, 1, 1, 0, 0, 1, 1]
    x = made.linear("x", 0.5, 100)
    if where == "quantized fill":
        fill = [made.const(0, np.uint8), made.const(0.5), made.const(0, np.uint8)]
        x = made.node("Pad", x, _shape(made, *pads), made.node("DequantizeLinear", *fill))
    elif where == "before a quantizer":
        x = made.linear(made.node("Pad", x, _shape(made, *pads)), 0.25, 90)
    elif where == "axes":
        x = made.node("Pad", x, _shape(made, 1, 0, 0, 2), made.const(0.0), _shape(made, 3, 2))
    else:
        x = made.node("Relu", made.node("Conv", x, _weights(made, 2, 2, 1, 1)))
        x = made.linear(made.node("Pad", x, _shape(made, *pads)), 2.0, 0)
    y = made.node("Conv", x, _weights(made, 3, 2, 3, 3))
    equal_to_runtime(_quantized(made, y, tmp_path / "padded.onnx", opset=18))


@pytest.mark.parametrize("keepdims", [0, 1])
def test_averages_channels_last(keepdims: int, tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 4))
    x = made.linear(made.node("Conv", made.linear("x", 0.5), _weights(made, 3, 2, 1, 1)), 1.0, 100)
    x = made.node("Transpose", x, perm=[0, 2, 3, 1])
    y = made.node("ReduceMean", x, axes=[1, 2], keepdims=keepdims)
    path = _quantized(made, made.linear(y, 0.25, 90), tmp_path / "last.onnx")
    found = equal_to_runtime(path)
    assert bool(found.orders) == bool(keepdims)


def test_padding_channels_last(tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 5))
    x = made.linear(made.node("Conv", made.linear("x", 0.5), _weights(made, 3, 2, 1, 1)), 1.0, 100)
    x = made.node("Transpose", x, perm=[0, 2, 3, 1])
    x = made.node("Pad", x, _shape(made, 0, 1, 0, 0, 0, 2, 1, 0))
    x = made.node("Transpose", x, perm=[0, 3, 1, 2])
    y = made.node("Conv", x, _weights(made, 3, 3, 3, 3))
    equal_to_runtime(_quantized(made, y, tmp_path / "padded.onnx"))


def test_reshape_of_a_padded_image_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 4))
    x = made.node("Pad", made.linear("x", 0.5), _shape(made, 0, 0, 1, 1, 0, 0, 1, 1))
    y = made.node("MatMul", made.node("Flatten", x), _weights(made, 72, 3))
    with pytest.raises(ExchangeError, match="reshapes a padded image; pad it right before"):
        import_onnx(_quantized(made, y, tmp_path / "padded.onnx"))


def test_averages_of_padded_images_may_leave_out_more_padding(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    x = made.node("Pad", made.linear("x", 0.5), _shape(made, 0, 0, 1, 1, 0, 0, 1, 1))
    y = made.node("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    (pool,) = import_onnx(_quantized(made, y, tmp_path / "averages.onnx")).network.layers
    assert isinstance(pool, AvgPool2d)
    assert (pool.padding, pool.counted) == ((2, 2, 2, 2), (1, 1, 1, 1))
