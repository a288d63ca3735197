"""Windows of Conv, pools and padding: imported, they give what ONNX Runtime gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import ExchangeError, Format, export_onnx, import_onnx
from systolith.network import (
    ActType,
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    MaxPool2d,
    Pad2d,
    Padding,
    Requantize,
    Tensor,
    Upsample,
    forward,
)
from systolith.plan import plan_network
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime, run_qonnx, run_runtime


@pytest.mark.parametrize(
    "options",
    [
        {"dilations": [2, 1], "pads": [3, 1, 4, 2]},
        {"dilations": [1, 3], "strides": [2, 2], "auto_pad": "VALID"},
        {"dilations": [2, 2], "pads": [4, 0, 0, 4], "group": 2},
        {"dilations": [3, 2], "group": 4},
    ],
)
def test_dilated_convolutions(options: dict[str, Any], tmp_path: Path) -> None:
    made = GraphBuilder((4, 9, 8))
    group = options.get("group", 1)
    weights = np.random.default_rng(0).integers(-9, 10, (4, 4 // group, 3, 3))
    y = made.node("Conv", made.linear("x", 0.125, 100), made.stored(weights, 0.25), **options)
    found = equal_to_runtime(made.save(tmp_path / "conv.onnx", made.linear(y, 2.0, 128)))
    (conv,) = found.network.layers
    assert isinstance(conv, Conv2d) and list(conv.dilation) == options["dilations"]


def test_a_dilated_max_pool(tmp_path: Path) -> None:
    made = GraphBuilder((3, 9, 8))
    how = {"kernel_shape": [2, 3], "dilations": [3, 2], "strides": [1, 2], "pads": [1, 1, 0, 1]}
    y = made.node("MaxPool", made.linear("x", 0.125, 100), **how)
    found = equal_to_runtime(made.save(tmp_path / "pool.onnx", y))
    (pool,) = found.network.layers
    assert isinstance(pool, MaxPool2d) and pool.dilation == (3, 2)


AVERAGES: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [4, 2], "pads": [1, 0, 2, 1], "strides": [2, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 1], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 4], "strides": [1, 3], "auto_pad": "SAME_UPPER"},
]


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("options", AVERAGES)
def test_averages(options: dict[str, Any], include: int, tmp_path: Path) -> None:
    made = GraphBuilder((3, 5, 6))
    y = made.node("AveragePool", made.linear("x", 0.125, 100), count_include_pad=include, **options)
    path = made.save(tmp_path / "pool.onnx", made.linear(y, 0.1003, 100))
    found = import_onnx(path)
    images = np.random.default_rng(1).integers(-90, 90, (16, 3, 5, 6)).astype(np.float32) / 8
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    theirs = run_runtime(path, images)
    assert ours.shape == theirs.shape
    assert np.array_equal(np.rint(ours / 0.1003), np.rint(theirs / 0.1003))


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("counted", [None, (0, 0, 0, 0), (1, 0, 0, 1)])
def test_averages_come_back(form: Format, counted: Padding | None, tmp_path: Path) -> None:
    act = ActType(bits=8, signed=True)
    pool = AvgPool2d(
        name="pool",
        input="input",
        kernel_size=(2, 3),
        stride=(2, 1),
        padding=(1, 0, 1, 2),
        counted=counted,
        requantize=Requantize(multiplier=np.array([3]), shift=np.array([5])),
        output=act,
    )
    network = IntegerNetwork(input=Tensor((2, 5, 6), act), layers=(pool,))
    path = tmp_path / "pool.onnx"
    export_onnx(network, path, form)
    found = import_onnx(path).network
    images = np.random.default_rng(0).integers(-128, 128, (8, 2, 5, 6))
    back, given = forward(found, images), forward(network, images)
    assert np.array_equal(*(next(iter(outputs.values())) for outputs in (back, given)))
    (layer,) = found.layers
    assert isinstance(layer, AvgPool2d)
    assert (layer.padding, layer.counted) == (pool.padding, counted)


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 1]])
def test_ceil_mode_of_a_max_pool(pads: list[int], tmp_path: Path) -> None:
    made = GraphBuilder((3, 7, 8))
    how = {"kernel_shape": [2, 3], "strides": [3, 2], "ceil_mode": 1, "pads": pads}
    y = made.node("MaxPool", made.linear("x", 0.125, 100), **how)
    equal_to_runtime(made.save(tmp_path / "pool.onnx", y))


def _padded(made: GraphBuilder, x: str, pads: list[int], *fill: str, **attributes: Any) -> str:
    return made.node("Pad", x, made.const(pads, np.int64), *fill, **attributes)


@pytest.mark.parametrize(
    "pads",
    [
        [0, 0, 1, 2, 0, 0, 3, 0],
        [0, 0, -1, 0, 0, 0, 0, -2],
        [0, 0, -1, 2, 0, 0, 3, -2],
    ],
)
@pytest.mark.parametrize("quantized", [True, False])
def test_padding_at_the_ends(pads: list[int], quantized: bool, tmp_path: Path) -> None:
    """In front of the network the host pads; behind it a layer does."""
    made = GraphBuilder((2, 5, 6))
    x = made.linear("x", 0.125, 100) if quantized else _padded(made, "x", pads)
    weights = np.random.default_rng(0).integers(-9, 10, (3, 2, 1, 1))
    x = x if quantized else made.linear(x, 0.125, 100)
    y = made.linear(made.node("Conv", x, made.stored(weights, 0.25)), 0.5, 128)
    found = equal_to_runtime(made.save(tmp_path / "pad.onnx", _padded(made, y, pads)))
    assert isinstance(found.network.layers[-1], Pad2d)
    assert len(found.network.layers) == 2


def test_padding_by_a_value(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = _padded(made, made.linear("x", 0.125, 100), [0, 0, 1, 0, 0, 0, 0, 2], made.const(1.5))
    found = equal_to_runtime(made.save(tmp_path / "pad.onnx", y))
    (pad,) = found.network.layers
    assert isinstance(pad, Pad2d) and pad.value == 112


def test_integers_are_padded_by_any_of_them(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    parameters = [made.const(0.125), made.const(100, np.uint8)]
    y = made.node("QuantizeLinear", "x", *parameters)
    weights = np.random.default_rng(0).integers(-9, 10, (3, 2, 1, 1))
    y = made.node("Conv", made.node("DequantizeLinear", y, *parameters), made.stored(weights, 0.25))
    out = [made.const(0.5), made.const(128, np.uint8)]
    y = made.node("QuantizeLinear", y, *out)
    y = _padded(made, y, [0, 0, 1, -1, 0, 0, 0, 2], made.const(7, np.uint8))
    y = made.node("DequantizeLinear", y, *out)
    found = equal_to_runtime(made.save(tmp_path / "pad.onnx", y))
    pad = found.network.layers[-1]
    assert isinstance(pad, Pad2d) and pad.value == 7


@pytest.mark.parametrize("fill", [0.1, 40.0])
def test_a_value_between_two_integers_is_refused(fill: float, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = _padded(made, made.linear("x", 0.125, 100), [0, 0, 1, 0, 0, 0, 0, 2], made.const(fill))
    path = made.save(tmp_path / "pad.onnx", y)
    with pytest.raises(ExchangeError, match="which is no value of its input: integers of"):
        import_onnx(path)


def test_padding_too_large_for_a_window_is_a_layer(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = _padded(made, made.linear("x", 0.125, 100), [0, 0, 2, 2, 0, 0, 2, 2])
    weights = np.random.default_rng(0).integers(-9, 10, (3, 2, 3, 3))
    y = made.node("Conv", y, made.stored(weights, 0.25), pads=[1, 1, 1, 1])
    found = equal_to_runtime(made.save(tmp_path / "pad.onnx", made.linear(y, 1.0, 128)))
    assert [type(layer) for layer in found.network.layers] == [Pad2d, Conv2d]


@pytest.mark.parametrize("op", ["MaxPool", "GlobalAveragePool", "Add"])
def test_layers_that_pad_nothing_read_a_padded_image(op: str, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 7))
    y = _padded(made, made.linear("x", 0.125, 100), [0, 0, 2, 0, 0, 0, 1, 1])
    how = {"kernel_shape": [2, 2]} if op == "MaxPool" else {}
    y = made.node(op, *[y] * (1 + (op == "Add")), **how)
    found = equal_to_runtime(made.save(tmp_path / "pad.onnx", made.linear(y, 0.25, 100)))
    assert isinstance(found.network.layers[0], Pad2d)


@pytest.mark.parametrize(
    "options",
    [
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {},
        {
            "coordinate_transformation_mode": "pytorch_half_pixel",
            "nearest_mode": "round_prefer_ceil",
        },
    ],
)
@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_resize(options: dict[str, Any], sized: bool, first: bool, tmp_path: Path) -> None:
    made = GraphBuilder((2, 3, 4))
    x = "x" if first else made.linear("x", 0.125, 100)
    given = ["", "", made.const([1, 2, 6, 12], np.int64)] if sized else [""]
    given += [] if sized else [made.const([1, 1, 2, 3])]
    y = made.node("Resize", x, *given, mode="nearest", **options)
    y = made.linear(y, 0.125, 100) if first else y
    weights = np.random.default_rng(0).integers(-9, 10, (3, 2, 1, 1))
    y = made.linear(made.node("Conv", y, made.stored(weights, 0.25)), 1.0, 128)
    batch = 1 if sized else "N"
    images = np.random.default_rng(1).normal(0, 4, (1, 2, 3, 4)).astype(np.float32)
    found = equal_to_runtime(made.save(tmp_path / "up.onnx", y, batch=batch), images)
    kinds = [type(layer) for layer in found.network.layers]
    assert kinds == ([Conv2d] if first else [Upsample, Conv2d])


@pytest.mark.parametrize(
    ("scales", "options"),
    [
        ([1, 1, 1.5, 2], {}),
        ([1, 1, 3, 3], {"coordinate_transformation_mode": "align_corners"}),
        ([1, 1, 3, 3], {"coordinate_transformation_mode": "asymmetric"}),
        ([1, 2, 1, 1], {}),
    ],
)
def test_other_ways_to_resize_are_refused(
    scales: list[float], options: dict[str, Any], tmp_path: Path
) -> None:
    made = GraphBuilder((2, 4, 4))
    x = made.linear("x", 0.125, 100)
    y = made.node("Resize", x, "", made.const(scales), mode="nearest", **options)
    path = made.save(tmp_path / "up.onnx", made.linear(y, 0.125, 100))
    with pytest.raises(ExchangeError, match="pixels repeated a whole number of times along"):
        import_onnx(path)


@pytest.mark.parametrize("kind", ["real", "integers", "host", "pending"])
@pytest.mark.parametrize("pads", [[1, 2, 0, 3], [-1, 2, 0, -1]])
def test_repeated_borders(kind: str, pads: list[int], tmp_path: Path) -> None:
    made = GraphBuilder((2, 3, 4))
    given = made.const([0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
    parameters = [made.const(0.125), made.const(100, np.uint8)]
    if kind == "integers":
        x = made.node("QuantizeLinear", "x", *parameters)
        x = made.node("Pad", x, given, mode="edge")
        x = made.node("DequantizeLinear", x, *parameters)
    elif kind == "host":
        x = made.linear(made.node("Pad", "x", given, mode="edge"), 0.125, 100)
    else:
        x = made.linear("x", 0.125, 100)
        if kind == "pending":
            x = made.node("Conv", x, made.stored(np.arange(-3, 1).reshape(2, 2, 1, 1), 0.25))
        x = made.node("Pad", x, given, mode="edge")
        x = made.linear(x, 0.25, 90) if kind == "pending" else x
    weights = np.random.default_rng(0).integers(-9, 10, (3, 2, 1, 1))
    y = made.linear(made.node("Conv", x, made.stored(weights, 0.25)), 1.0, 128)
    found = equal_to_runtime(made.save(tmp_path / "border.onnx", y))
    borders = [layer for layer in found.network.layers if isinstance(layer, Pad2d)]
    assert len(borders) == (kind != "host") and all(layer.edge for layer in borders)
    if borders and kind == "real":
        for form in Format:
            export_onnx(found.network, tmp_path / "again.onnx", form)
            again = import_onnx(tmp_path / "again.onnx")
            assert again.agreement is not None and again.agreement.equal
            assert any(isinstance(layer, Pad2d) and layer.edge for layer in again.network.layers)


@pytest.mark.parametrize("factors", [(2, 2), (1, 2), (4, 1), (3, 3), (1, 5)])
@pytest.mark.parametrize("sized", [False, True])
def test_straight_lines_between_pixels(
    factors: tuple[int, int], sized: bool, tmp_path: Path
) -> None:
    made = GraphBuilder((2, 3, 4))
    x = made.linear("x", 0.125, 100)
    given = ["", made.const([1, 1, *factors])]
    if sized:
        sizes = [1, 2, 3 * factors[0], 4 * factors[1]]
        given = ["", "", made.const(sizes, np.int64)]
    way = "pytorch_half_pixel" if sized else "half_pixel"
    y = made.node("Resize", x, *given, mode="linear", coordinate_transformation_mode=way)
    # In steps of 1/8, thirds and fifths lie beside all ties.
    odd = max(factor % 2 * factor for factor in factors) > 1
    y = made.linear(y, 0.125 if odd else 0.0625, 90)
    path = made.save(tmp_path / "up.onnx", y, batch=1 if sized else "N")
    found = import_onnx(path)
    assert found.agreement is not None and found.agreement.equal and found.exact
    assert [type(layer) for layer in found.network.layers] == [Upsample, Pad2d, AvgPool2d]
    plan_network(found.network)


@pytest.mark.parametrize(
    ("scales", "options", "words"),
    [
        ([1, 1, 2, 2], {"coordinate_transformation_mode": "align_corners"}, r"\(align_corners\)"),
        ([1, 1, 2, 2], {"coordinate_transformation_mode": "asymmetric"}, r"\(asymmetric\)"),
        ([1, 1, 1.5, 2], {}, r"\(2, 6, 8\) \(half_pixel\)"),
        ([1, 1, 0.5, 0.5], {}, r"\(2, 2, 2\) \(half_pixel\)"),
    ],
)
def test_other_straight_lines_are_refused(
    scales: list[float], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    made = GraphBuilder((2, 4, 4))
    x = made.linear("x", 0.125, 100)
    y = made.node("Resize", x, "", made.const(scales), mode="linear", **options)
    path = made.save(tmp_path / "up.onnx", made.linear(y, 0.125, 100))
    with pytest.raises(ExchangeError, match=f"{words}; whole factors .* a trained ConvTranspose"):
        import_onnx(path)
    integers = made.node("QuantizeLinear", "x", made.const(0.5), made.const(9, np.uint8))
    y = made.node("Resize", integers, "", made.const([1, 1, 2, 2]), mode="linear")
    y = made.node("DequantizeLinear", y, made.const(0.5), made.const(9, np.uint8))
    with pytest.raises(ExchangeError, match="interpolates integers: put their Dequant"):
        import_onnx(made.save(tmp_path / "integers.onnx", y))


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "shape"),
    [
        ([1, 0], [99, -1], [2, 3], (2, 4, 5)),
        ([-3], [5], [-2], (2, 3, 6)),
        ([0, 2], [5, 3], [2, -1], (2, 5, 1)),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_slices_of_rows_and_columns(
    starts: list[int],
    ends: list[int],
    axes: list[int],
    shape: tuple[int, ...],
    first: bool,
    tmp_path: Path,
) -> None:
    made = GraphBuilder((2, 5, 6))
    x = "x" if first else made.linear("x", 0.125, 100)
    y = made.node("Slice", x, *(made.const(given, np.int64) for given in (starts, ends, axes)))
    y = made.linear(y, 0.125, 100)
    y = made.node("MaxPool", y, kernel_shape=[1, 1])
    found = equal_to_runtime(made.save(tmp_path / "slice.onnx", y))
    assert found.network.tensors[found.network.outputs[0]].shape == shape


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize(
    "layer",
    [
        Pad2d(name="move", input="input", padding=(1, 0, 2, 3)),
        Pad2d(name="move", input="input", padding=(1, -2, -1, 3), value=-7),
        Upsample(name="move", input="input", factors=(2, 3)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_moved_pixels_come_back(form: Format, layer: Pad2d | Upsample, tmp_path: Path) -> None:
    act = ActType(bits=6, signed=True, zero_point=2)
    network = IntegerNetwork(input=Tensor((2, 5, 6), act), layers=(layer,))
    path = tmp_path / "move.onnx"
    export_onnx(network, path, form)
    found = import_onnx(path)
    images = np.random.default_rng(0).integers(act.low, act.high + 1, (4, 2, 5, 6))
    (wanted,) = forward(network, images).values()
    (back,) = forward(found.network, images).values()
    assert np.array_equal(back, wanted)
    run = run_qonnx if form is Format.QONNX else run_runtime
    real = run(path, (images - act.zero_point).astype(np.float32))
    assert np.array_equal(real, wanted - act.zero_point)
