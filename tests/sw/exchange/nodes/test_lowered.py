"""Convolutions that qonnx lowered to Im2Col and MatMul come back as convolutions."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul

from systolith.exchange import ExchangeError, ImportedModel, import_onnx, run_onnx
from systolith.network import Conv2d, IntegerNetwork, MaxPool2d, forward
from systolith.plan import plan_network
from tests.support.onnx_graphs import QONNX, GraphBuilder, annotated


def _lowered(path: Path, nodes: int) -> Path:
    """Lower by qonnx's own transformation."""
    model = ModelWrapper(str(path)).transform(InferShapes()).transform(LowerConvsToMatMul())
    ops = [node.op_type for node in model.graph.node]
    assert "Conv" not in ops and ops.count("Im2Col") == nodes and "MatMul" in ops
    model.save(str(path.with_suffix(".lowered.onnx")))
    return path.with_suffix(".lowered.onnx")


def _equal(path: Path) -> ImportedModel:
    found = import_onnx(path)
    assert found.exact and found.agreement is not None
    assert found.agreement.equal and found.agreement.values > 50
    return found


def _same_layers(a: IntegerNetwork, b: IntegerNetwork) -> None:
    """Compare what convolutions compute, apart from names."""
    pairs = [[layer for layer in network.layers if isinstance(layer, Conv2d)] for network in (a, b)]
    for one, other in zip(*pairs, strict=True):
        assert np.array_equal(one.weight, other.weight) and one.weight_bits == other.weight_bits
        assert np.array_equal(one.bias, other.bias) and one.pattern == other.pattern
        for field in ("stride", "padding", "dilation", "groups", "output"):
            assert getattr(one, field) == getattr(other, field), field


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_network_and_its_lowered_form(per_channel: bool, tmp_path: Path) -> None:
    """Strides, uneven padding, dilation, a depthwise and a pointwise convolution, and a bias."""
    rng, made = np.random.default_rng(0), GraphBuilder((3, 9, 8))
    kernels: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((4, 3, 3, 2), {"strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2]}),
        ((4, 1, 3, 3), {"strides": [1, 1], "pads": [1, 1, 1, 1], "group": 4}),
        ((5, 4, 1, 1), {"strides": [1, 1], "pads": [0, 0, 0, 0]}),
        ((2, 5, 1, 1), {"strides": [2, 2], "pads": [0, 0, 0, 0]}),
    ]
    y = made.quant("x", 0.5, 0, 4)
    for shape, attributes in kernels:
        scale = 0.25 * 2.0 ** -np.arange(shape[0]).reshape(-1, 1, 1, 1) if per_channel else 0.25
        weights = made.quant(made.const(rng.normal(size=shape)), scale, 0, 4)
        given = {"dilations": [1, 1], "group": 1, "kernel_shape": list(shape[2:]), **attributes}
        bias = made.const(np.arange(shape[0]) / 8)
        y = made.node("Conv", y, weights, bias, **given)
        y = made.quant(made.node("Relu", y), 0.25, 0, 4, signed=0)
    path = made.save(tmp_path / "plain.onnx", y, batch=1)
    plain, found = _equal(path), _equal(_lowered(path, 3))
    _same_layers(plain.network, found.network)
    integers = rng.integers(-8, 8, (20, 3, 9, 8))
    for ours, theirs in zip(
        found.real(forward(found.network, integers)).values(),
        plain.real(forward(plain.network, integers)).values(),
        strict=True,
    ):
        assert np.array_equal(ours, theirs) and np.unique(ours).size > 3


def _im2col(made: GraphBuilder, x: str, shape: tuple[int, int, int], **attributes: Any) -> str:
    given = {"kernel_size": [3, 3], "stride": [1, 1], "pad_amount": [1] * 4, **attributes}
    return made.node("Im2Col", x, domain=QONNX, input_shape=str((1, *shape)), **given)


def _streamlined(fill: int = 0, sign: bool = False) -> tuple[GraphBuilder, str, dict[str, str]]:
    """As FINN streamlines: channels last from the first layer to the last, thresholds between."""
    rng, made = np.random.default_rng(1), GraphBuilder((2, 6, 6))
    first = made.const(rng.integers(-2, 2, (18, 4)))
    own = np.zeros((9, 4, 4), int)
    own[:, range(4), range(4)] = rng.choice([-1, 1], (9, 4))
    depthwise, last = made.const(own.reshape(36, 4)), made.const(rng.integers(-2, 2, (4, 3)))
    counts = {"domain": QONNX, "data_layout": "NHWC"}
    y = made.node("Transpose", made.quant("x", 1.0, 0, 4), perm=[0, 2, 3, 1])
    y = made.node("MatMul", _im2col(made, y, (6, 6, 2), pad_value=fill), first)
    rows = made.const(np.sort(rng.integers(-30, 30, (4, 3)), axis=1))
    y = made.node("MultiThreshold", y, rows, out_dtype="INT2", out_bias=-2.0, **counts)
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4}
    y = made.node("MaxPoolNHWC", y, domain=QONNX, **window)
    y = made.node("MatMul", _im2col(made, y, (3, 3, 4), depthwise=1), depthwise)
    rows = made.const(np.sort(rng.integers(-6, 6, (4, 1 if sign else 3)), axis=1))
    ends = {"out_dtype": "BIPOLAR", "out_scale": 2.0, "out_bias": -1.0} if sign else {
        "out_dtype": "UINT2"}  # fmt: skip
    y = made.node("MultiThreshold", y, rows, **ends, **counts)
    y = made.node("Transpose", made.node("MatMul", y, last), perm=[0, 3, 1, 2])
    return made, y, {first: "INT2", depthwise: "BIPOLAR", last: "INT2"}


@pytest.mark.parametrize(("fill", "sign"), [(0, False), (3, True)])
def test_a_streamlined_network(fill: int, sign: bool, tmp_path: Path) -> None:
    made, y, types = _streamlined(fill, sign)
    path = annotated(made.save(tmp_path / "finn.onnx", y, batch=1), **types)
    found = _equal(path)
    convolutions = [layer for layer in found.network.layers if isinstance(layer, Conv2d)]
    assert [layer.groups for layer in convolutions] == [1, 4, 1]
    assert convolutions[1].weight_bits == 1 and convolutions[1].padding == (1, 1, 1, 1)
    assert sum(isinstance(layer, MaxPool2d) for layer in found.network.layers) == 1
    images = np.random.default_rng(0).integers(-8, 8, (30, 2, 6, 6)).astype(np.float32)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    (theirs,) = run_onnx(path, images).values()
    assert np.array_equal(ours, theirs) and np.unique(ours).size > 5
    plan_network(found.network)


def test_what_is_no_lowered_convolution_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    x = made.node("Transpose", made.quant("x", 1.0, 0, 4), perm=[0, 2, 3, 1])
    windows = _im2col(made, x, (6, 6, 2))
    y = made.node("Relu", windows)
    z = made.node("MatMul", windows, made.quant(made.const(np.ones((17, 2))), 1.0, 0, 3))
    w = made.node("MatMul", windows, made.const(np.full((18, 2), 0.5)))
    v = _im2col(made, x, (6, 6, 2), stride=[1])
    with pytest.raises(ExchangeError) as error:
        import_onnx(made.save(tmp_path / "odd.onnx", y, z, w, v, batch=1))
    text = str(error.value)
    assert "(Relu): reads node 'Im2Col_2' (Im2Col); a MatMul is supported" in text
    assert "has weights of shape (17, 2) for windows of 18 values" in text
    assert "its weights are float constants" in text
    assert "has stride (1,); 2 numbers are supported" in text


def test_hardware_layers_are_named(tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    y = made.quant("x", 1.0, 0, 4)
    y = made.node("MVAU_rtl", y, domain="finn.custom_op.fpgadataflow.rtl")
    y = made.node("StreamingFIFO", y, domain="finn.custom_op.fpgadataflow")
    model = onnx.load(made.save(tmp_path / "hw.onnx", y))
    for domain in ("finn.custom_op.fpgadataflow.rtl", "finn.custom_op.fpgadataflow"):
        model.opset_import.append(helper.make_opsetid(domain, 1))
    onnx.save(model, tmp_path / "hw.onnx")
    with pytest.raises(ExchangeError) as error:
        import_onnx(tmp_path / "hw.onnx")
    assert [text.split(";")[0] for text in error.value.problems] == [
        f"hw.onnx: holds hardware layers of FINN, which are built already: {op}"
        for op in ("StreamingFIFO", "MVAU_rtl")
    ]


def test_thresholds_of_three_axes_have_channels_last_without_a_layout(tmp_path: Path) -> None:
    made = GraphBuilder((4, 5))
    rows = made.const(np.arange(5).reshape(5, 1) + [[-2.0, 1.0, 2.0]])
    x = made.quant("x", 1.0, 0, 4)
    y = made.node("MultiThreshold", x, rows, domain=QONNX, out_dtype="UINT2")
    z = made.node("Transpose", x, perm=[0, 2, 1])
    z = made.node("MultiThreshold", z, rows, domain=QONNX, out_dtype="UINT2", data_layout="NCW")
    for result in (y, z):
        _equal(made.save(tmp_path / "wide.onnx", result))
