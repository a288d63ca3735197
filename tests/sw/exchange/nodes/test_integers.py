"""Operators on the integers between quantizers, beside ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import Add, Conv2d, Pad2d
from tests.support.onnx_graphs import MICROSOFT, GraphBuilder, equal_to_runtime

PADS = [0, 0, 1, 1, 0, 0, 1, 1]
ZEROS = [(0, np.uint8), (128, np.uint8), (-128, np.int8), (0, np.int8), (20, np.int8)]


def _weights(made: GraphBuilder, *shape: int) -> str:
    return made.stored(np.random.default_rng(0).integers(-9, 10, shape), 0.25)


def _between(made: GraphBuilder, zero: int, dtype: type, op: str, *more: str, **how: object) -> str:
    """Put a node between a quantizer of the input and what dequantizes it."""
    parameters = [made.const(0.125), made.const(zero, dtype)]
    integers = made.node("QuantizeLinear", "x", *parameters)
    return made.node("DequantizeLinear", made.node(op, integers, *more, **how), *parameters)


def _then_convolved(made: GraphBuilder, x: str, path: Path, opset: int = 17) -> Path:
    y = made.node("Conv", x, _weights(made, 3, 2, 3, 3))
    return made.save(path, made.linear(y, 2.0, 128), opset=opset)


@pytest.mark.parametrize("scale", [2.0**-5, 0.5])
@pytest.mark.parametrize("where", ["input", "weights", "layer"])
def test_clip_makes_a_type_narrower(where: str, scale: float, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    parameters = [made.const(scale), made.const(0, np.int8)]

    def quantized(x: str, *, cut: bool) -> str:
        integers = made.node("QuantizeLinear", x, *parameters)
        if cut:
            bounds = [made.const(each, np.int8) for each in (-8, 7)]
            integers = made.node("Clip", integers, *bounds)
        return made.node("DequantizeLinear", integers, *parameters)

    x = quantized("x", cut=where == "input")
    reals = np.random.default_rng(0).normal(0, 8 * scale, (3, 2, 3, 3))
    y = made.node("Conv", x, quantized(made.const(reals), cut=where == "weights"))
    path = made.save(tmp_path / "narrow.onnx", quantized(y, cut=where == "layer"))
    images = np.random.default_rng(1).normal(0, 16 * scale, (16, 2, 5, 6)).astype(np.float32)
    found = equal_to_runtime(path, images)
    (layer,) = found.network.layers
    assert isinstance(layer, Conv2d)
    widths = [found.network.input.type.bits, int(np.abs(layer.weight).max()), layer.output.bits]
    assert widths[["input", "weights", "layer"].index(where)] in (4, 8)


def test_one_quantizer_read_twice_makes_one_layer(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.node("Conv", made.linear("x", 0.125, 128), _weights(made, 2, 2, 1, 1))
    parameters = [made.const(1.0), made.const(0, np.int8)]
    integers = made.node("QuantizeLinear", y, *parameters)
    first, second = (made.node("DequantizeLinear", integers, *parameters) for _ in range(2))
    y = made.linear(made.node("Add", first, second), 2.0, 100)
    found = equal_to_runtime(made.save(tmp_path / "twice.onnx", y))
    assert [type(layer) for layer in found.network.layers] == [Conv2d, Add]


def test_integers_read_whole_and_cut_are_two_results(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.node("Conv", made.linear("x", 0.125, 128), _weights(made, 2, 2, 1, 1))
    parameters = [made.const(1.0), made.const(0, np.int8)]
    integers = made.node("QuantizeLinear", y, *parameters)
    cut = made.node("Clip", integers, made.const(-1, np.int8), made.const(9, np.int8))
    whole, part = (made.node("DequantizeLinear", each, *parameters) for each in (integers, cut))
    y = made.linear(made.node("Add", whole, part), 2.0, 100)
    equal_to_runtime(made.save(tmp_path / "two.onnx", y))


def test_what_nothing_reads_is_left_out(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    x = made.linear("x", 0.125, 128)
    made.linear(made.node("Conv", x, _weights(made, 2, 2, 1, 1)), 1.0)
    y = made.linear(made.node("Conv", x, _weights(made, 2, 2, 1, 1)), 2.0, 100)
    found = equal_to_runtime(made.save(tmp_path / "dead.onnx", y))
    (layer,) = found.network.layers
    assert found.units.keys() == {layer.name}


@pytest.mark.parametrize(("zero", "dtype"), ZEROS)
def test_relu_of_integers_bounds_them_by_0_not_by_the_zero_point(
    zero: int, dtype: type, tmp_path: Path
) -> None:
    made = GraphBuilder((2, 5, 6))
    if dtype is np.uint8:
        found = _between(made, zero, dtype, "Max", made.const(40, dtype))
    else:
        found = _between(made, zero, dtype, "Relu")
    equal_to_runtime(_then_convolved(made, found, tmp_path / "relu.onnx"))


@pytest.mark.parametrize(("zero", "dtype"), ZEROS)
@pytest.mark.parametrize("by", ["zero point", "0"])
def test_padding_of_integers_counts_from_the_zero_point(
    by: str, zero: int, dtype: type, tmp_path: Path
) -> None:
    made = GraphBuilder((2, 5, 6))
    pads = made.const(PADS, np.int64)
    fill = [made.const(zero, dtype)] if by == "zero point" else []
    found = _between(made, zero, dtype, "Pad", pads, *fill)
    equal_to_runtime(_then_convolved(made, found, tmp_path / "padded.onnx"))


def test_padding_of_a_layers_integers_by_another_number_is_a_layer(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.node("Conv", made.linear("x", 0.125, 128), _weights(made, 2, 2, 1, 1))
    parameters = [made.const(0.5), made.const(100, np.uint8)]
    integers = made.node("QuantizeLinear", y, *parameters)
    integers = made.node("Pad", integers, made.const(PADS, np.int64))
    y = made.node("DequantizeLinear", integers, *parameters)
    found = equal_to_runtime(_then_convolved(made, y, tmp_path / "padded.onnx"))
    pad = found.network.layers[1]
    assert isinstance(pad, Pad2d) and pad.value == 0


@pytest.mark.parametrize(
    ("op", "how"),
    [
        ("MaxPool", {"kernel_shape": [2, 2]}),
        ("Identity", {}),
        ("Cast", {"to": TensorProto.INT8}),
    ],
)
def test_what_keeps_values_keeps_integers(op: str, how: dict[str, int], tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    found = _between(made, -20, np.int8, op, **how)
    equal_to_runtime(_then_convolved(made, found, tmp_path / "kept.onnx"))


def test_moves_of_integers(tmp_path: Path) -> None:
    made = GraphBuilder((5, 6, 2))
    found = _between(made, 30, np.uint8, "Transpose", perm=[0, 3, 1, 2])
    equal_to_runtime(_then_convolved(made, found, tmp_path / "moved.onnx"))


def test_cast_that_cuts_off_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    found = _between(made, 30, np.uint8, "Cast", to=TensorProto.INT8)
    path = _then_convolved(made, found, tmp_path / "cast.onnx", opset=12)
    with pytest.raises(ExchangeError, match=r"makes INT8 of integers 0\.\.255, which do not fit"):
        import_onnx(path)


def test_arithmetic_on_integers_is_refused_by_name(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    found = _between(made, 0, np.int8, "Mul", made.const(3, np.int8))
    words = r"node 'Mul_1' \(Mul\): works on the integers of node 'QuantizeLinear_0'"
    with pytest.raises(ExchangeError, match=words):
        import_onnx(_then_convolved(made, found, tmp_path / "mul.onnx", opset=12))


@pytest.mark.parametrize("vector", [False, True])
def test_sum_with_constant_integers(vector: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = GraphBuilder((4,) if vector else (4, 3, 3))

    def parameters(scale: float, zero: int) -> list[str]:
        return [made.const(scale), made.const(zero, np.uint8)]

    integers = made.node("QuantizeLinear", "x", *parameters(0.0625, 128))
    along = (4,) if vector else (4, 1, 1)
    constant = made.const(rng.integers(0, 256, along), np.uint8)
    given = [*parameters(0.0625, 128), constant, *parameters(0.0625, 100), *parameters(0.125, 120)]
    y = made.node("QLinearAdd", integers, *given, domain=MICROSOFT)
    y = made.node("DequantizeLinear", y, *parameters(0.125, 120))
    equal_to_runtime(made.save(tmp_path / "sum.onnx", y))


def test_sum_of_integers_with_an_odd_zero_point_rounds_ties_after_adding_it(tmp_path: Path) -> None:
    """What ONNX Runtime computes then, the contract has no rounding for."""
    made = GraphBuilder((4,))
    parameters = [made.const(0.125), made.const(128, np.uint8)]
    integers = made.node("QuantizeLinear", "x", *parameters)
    given = [integers, *parameters, made.const(0.25), made.const(121, np.uint8)]
    y = made.node("QLinearAdd", integers, *parameters, *given, domain=MICROSOFT)
    with pytest.raises(ExchangeError, match="adding zero point 121, which is odd"):
        import_onnx(made.save(tmp_path / "odd.onnx", y))


@pytest.mark.parametrize("vector", [False, True])
def test_relu_between_two_quantizers(vector: bool, tmp_path: Path) -> None:
    made = GraphBuilder((4,) if vector else (4, 1, 1))
    x = made.linear("x", 0.125, 0, np.int8)
    if vector:
        y = made.node("MatMul", x, _weights(made, 4, 5))
    else:
        y = made.node("Conv", x, _weights(made, 5, 4, 1, 1))
    y = made.linear(y, 0.5, 0, np.int8)
    y = made.linear(made.node("Relu", y), 0.25, 0, np.int8)
    equal_to_runtime(made.save(tmp_path / "relu.onnx", y))


def test_images_of_integers_stay_as_they_are(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6), element=TensorProto.UINT8)
    x = made.node("DequantizeLinear", "x", made.const(0.5), made.const(100, np.uint8))
    path = _then_convolved(made, x, tmp_path / "stored.onnx")
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 5, 6)).astype(np.uint8)
    found = equal_to_runtime(path, images)
    assert np.array_equal(found.quantize_input(images), images)
    with pytest.raises(ExchangeError, match=r"images must lie in 0\.\.255, .* got -1\.\.0; float"):
        found.quantize_input(np.array([[-1, 0]]).repeat(30).reshape(1, 2, 5, 6))


def test_images_of_integers_may_be_cast_and_normalized(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6), element=TensorProto.UINT8)
    x = made.node("Div", made.node("Cast", "x", to=TensorProto.FLOAT), made.const(256.0))
    path = _then_convolved(made, made.linear(x, 2.0**-7, 3), tmp_path / "cast.onnx")
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 5, 6)).astype(np.uint8)
    equal_to_runtime(path, images)


@pytest.mark.parametrize("op", ["Clip", "Pad", "Transpose"])
def test_changes_of_integer_images_before_they_are_dequantized(op: str, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6), element=TensorProto.UINT8)
    if op == "Clip":
        x = made.node("Clip", "x", made.const(0, np.uint8), made.const(15, np.uint8))
    elif op == "Pad":
        x = made.node("Pad", "x", made.const(PADS, np.int64), made.const(7, np.uint8))
    else:
        x = made.node(
            "Transpose", made.node("Transpose", "x", perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2]
        )
    x = made.node("DequantizeLinear", x, made.const(0.5), made.const(10, np.uint8))
    path = _then_convolved(made, x, tmp_path / "changed.onnx")
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 5, 6)).astype(np.uint8)
    found = equal_to_runtime(path, images)
    assert found.network.input.type.bits == (4 if op == "Clip" else 8)


def test_bounds_of_the_type_of_an_activation(tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 4))
    x = made.linear("x", 0.125, 100)
    bounds = [made.node("CastLike", made.const(each, np.float64), x) for each in (-2, 3.5)]
    y = made.node("Clip", made.node("CastLike", x, x), *bounds)
    path = made.save(tmp_path / "like.onnx", made.linear(y, 0.125, 100), opset=19)
    found = import_onnx(path)
    assert found.agreement is not None and found.agreement.equal and found.exact


def test_type_of_integers_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 4))
    q = made.node("QuantizeLinear", "x", made.const(0.125), made.const(100, np.uint8))
    y = made.node("CastLike", made.linear("x", 0.125, 100), q)
    path = made.save(tmp_path / "like.onnx", y, opset=19)
    with pytest.raises(ExchangeError, match=r"\(CastLike\): takes the type of .* use a Cast"):
        import_onnx(path)
