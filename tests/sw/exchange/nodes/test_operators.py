"""Every operator of the table runs, and computes what ONNX Runtime or QONNX's executor does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from systolith.exchange import (
    OPERATORS,
    ExchangeError,
    import_model,
    import_onnx,
    operator_rows,
    rewrite_rows,
    run_onnx,
)
from systolith.exchange.file.model_file import ModelFile, Node
from systolith.exchange.nodes.tables.functions import FUNCTIONS
from systolith.exchange.nodes.unsupported import REWRITES
from systolith.network import forward

CONSTANTS = """
    float s = {0.125}, uint8 z = {100}, float t = {0.5}, uint8 o = {128},
    int8[2,2,3,3] k = {1,-2,3, 4,5,-6, 7,8,9, 0,3,0, 9,-7,5, 1,1,2,
                       5,-1,2, 0,0,-3, 4,4,1, 6,-6,2, 1,0,7, -3,2,2},
    int8[32,3] l = {LINEAR}, float u = {0.25}, int8 i = {0}, float[2] h = {0.5, -1.5},
    float[2] g = {2.0, -0.5}, float[2] m = {0.25, 1.0}, float[2] v = {4.0, 0.25},
    float low = {-2.5}, float high = {20.0}, float c = {0.5}, int64[2] hw = {2, 3},
    int64[8] pads = {0,0,1,0, 0,0,1,2}, int64[2] flat = {0, -1},
    float[4] twice = {1.0, 1.0, 2.0, 3.0}, int64[2] first = {0, 1}, int64[2] last = {3, 9},
    float half = {0.25}, float eight = {8.0}, float four = {4.0}, float none = {0.0},
    float[21] lut = {LUT},
    float[1,3] levels = {-0.75, 0.5, 1.75}, float[2,2,1,1] signs = {0.25,-0.5,0.75,0.0},
    float[8,3] windows = {WINDOWS}
""".replace("LINEAR", ",".join(str(by % 11 - 5) for by in range(96)))
CONSTANTS = CONSTANTS.replace("WINDOWS", ",".join(str(by * 5 % 9 - 4.0) for by in range(24)))
CONSTANTS = CONSTANTS.replace("LUT", ",".join(str(by * 7 % 20 - 9) for by in range(21)))
HEAD = """
<ir_version: 10, opset_import: ["": 21, "com.microsoft": 1, "qonnx.custom_op.general": 2]>
case (float[N,2,4,4] x) => (float y) <CONSTANTS> {
"""
QUANTIZED = "q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) "
REQUANTIZED = "p = QuantizeLinear(r, t, o) y = DequantizeLinear(p, t, o)"
POSITIVE = "n = Abs(a) b = Add(n, c) "
KERNELS = "w = DequantizeLinear(k, u, i) "
CONV = KERNELS + "d = Conv <pads=[1,1,1,1]> (a, w, h) "
MATRIX = "f = Flatten(a) w = DequantizeLinear(l, u, i) "
QONNX = "qonnx.custom_op.general"
LAST = "b = Transpose <perm=[0,2,3,1]> (a) "
QUANT = f'{QONNX}.Quant <signed=1, narrow=0, rounding_mode="ROUND">'

FUNCTION_CASES = {
    **{
        name: (POSITIVE if name in ("Log", "Reciprocal", "Sqrt") else "b = Identity(a) ")
        + f"e = {name}(b) r = Mul(e, eight) "
        for name in FUNCTIONS
    },
    "Sign": "e = Sign(a) r = Add(e, a) ",
    "Pow": "e = Mul(a, s) r = Pow(e, four) ",
    "PRelu": "r = PRelu(a, half) ",
    "Gather": (
        "b = Abs(a) e = Clip(b, none, high) n = Round(e) j = Cast <to=7> (n) r = Gather(lut, j) "
    ),
}
FLOAT = {
    **FUNCTION_CASES,
    "Conv": CONV + "r = Identity(d) ",
    "ConvTranspose": KERNELS + "r = ConvTranspose <strides=[2,2]> (a, w, h) ",
    "Gemm": MATRIX + "r = Gemm(f, w) ",
    "MatMul": MATRIX + "r = MatMul(f, w) ",
    "BatchNormalization": CONV + "r = BatchNormalization <epsilon=0.0> (d, g, h, m, v) ",
    "Relu": CONV + "r = Relu(d) ",
    "Clip": CONV + "r = Clip(d, low, high) ",
    "Floor": CONV + "n = Div(d, t) e = Floor(n) r = Mul(e, t) ",
    "Min": CONV + "r = Min(d, high) ",
    "Max": CONV + "r = Max(low, d) ",
    "Cast": CONV + "r = Cast <to=1> (d) ",
    "CastLike": CONV + "e = CastLike(high, a) r = Min(d, e) ",
    "GlobalMaxPool": CONV + "r = GlobalMaxPool(d) ",
    "Unsqueeze": "e = GlobalAveragePool(a) b = Squeeze(e, hw) r = Unsqueeze(b, hw) ",
    "MaxPool": CONV + "r = MaxPool <kernel_shape=[2,2], strides=[2,2]> (d) ",
    "AveragePool": "r = AveragePool <kernel_shape=[2,2], strides=[1,2]> (a) ",
    "GlobalAveragePool": "r = GlobalAveragePool(a) ",
    "ReduceMean": "r = ReduceMean <keepdims=0> (a, hw) ",
    "ReduceMax": "r = ReduceMax <keepdims=0> (a, hw) ",
    "Add": CONV + "b = QuantizeLinear(d, t, o) e = DequantizeLinear(b, t, o) r = Add(a, e) ",
    "Sum": CONV + "r = Sum(d, c) ",
    "Sub": CONV + "r = Sub(d, c) ",
    "Mul": CONV + "r = Mul(d, c) ",
    "Div": CONV + "r = Div(d, c) ",
    "Pad": "n = Pad(a, pads) " + KERNELS + "r = Conv(n, w) ",
    "Resize": 'e = Resize <mode="nearest"> (a, , twice) ' + KERNELS + "r = Conv(e, w) ",
    "Slice": "e = Slice(a, first, last, hw) " + KERNELS + "r = Conv(e, w) ",
    "Flatten": CONV + "r = Flatten(d) ",
    "Reshape": CONV + "r = Reshape(d, flat) ",
    "Squeeze": "e = GlobalAveragePool(a) r = Squeeze(e, hw) ",
    "Transpose": "j = Transpose <perm=[1,0,3,2]> (k) w = DequantizeLinear(j, u, i) r = Conv(a, w) ",
    "Concat": CONV + "r = Concat <axis=1> (d, d) ",
    "Split": "r, e = Split <axis=1, num_outputs=2> (a) ",
    "DepthToSpace": "e = Concat <axis=1> (a, a) r = DepthToSpace <blocksize=2> (e) ",
    "SpaceToDepth": "r = SpaceToDepth <blocksize=2> (a) ",
    "Identity": "e = Identity(a) " + KERNELS + "r = Conv(e, w) ",
    "Dropout": "e = Dropout(a) " + KERNELS + "r = Conv(e, w) ",
    "QuantizeLinear": CONV + "r = Relu(d) ",
    "DequantizeLinear": CONV + "r = Relu(d) ",
}
"""Nodes from `a` to `r`, both quantized by ONNX's own quantizers."""
INTEGER = {
    "QLinearConv": "p = QLinearConv(q, s, z, k, u, i, t, o) ",
    "QLinearMatMul": "f = Flatten(q) p = QLinearMatMul(f, s, z, l, u, i, eight, o) ",
    "QGemm": "f = Flatten(q) p = com.microsoft.QGemm(f, s, z, l, u, i, , eight, o) ",
    "QLinearAdd": "p = com.microsoft.QLinearAdd(q, s, z, q, s, z, t, o) ",
    "QLinearConcat": "p = com.microsoft.QLinearConcat <axis=1> (t, o, q, s, z, q, t, z) ",
    "QLinearLeakyRelu": "p = com.microsoft.QLinearLeakyRelu <alpha=0.25> (q, s, z, t, o) ",
    "QLinearSigmoid": "sig = com.microsoft.QLinearSigmoid (q, s, z, s, o) "
    "p = MaxPool <kernel_shape=[2,2]> (sig) ",
    "QLinearMul": "pooled = MaxPool <kernel_shape=[1,1]> (q) "
    "p = com.microsoft.QLinearMul(q, s, z, pooled, s, z, t, o) ",
    "QLinearAveragePool": "p = com.microsoft.QLinearAveragePool "
    "<kernel_shape=[2,2], strides=[1,2]> (q, s, z, t, o) ",
    "QLinearGlobalAveragePool": "p = com.microsoft.QLinearGlobalAveragePool (q, s, z, t, o) ",
}
"""Nodes from `q` to `p`, which are integers."""
WITH_QUANT = {
    "Quant": f"w = {QUANT} (signs, half, none, four) r = Conv(a, w) ",
    "IntQuant": f"w = {QUANT.replace('.Quant', '.IntQuant')} (signs, half, none, four) "
    "r = Conv(a, w) ",
    "MultiThreshold": f"w = {QUANT} (signs, half, none, four) d = Conv(a, w) "
    f'r = {QONNX}.MultiThreshold <out_dtype="UINT2", out_scale=0.5> (d, levels) ',
    "Im2Col": f"{LAST}e = {QONNX}.Im2Col <kernel_size=[2,2], stride=[1,1], pad_amount=[1,0,0,1], "
    f'input_shape="(1,4,4,2)"> (b) w = {QUANT} (windows, half, none, four) r = MatMul(e, w) ',
    "MaxPoolNHWC": f"{LAST}r = {QONNX}.MaxPoolNHWC "
    "<kernel_shape=[2,2], pads=[0,0,0,0], strides=[2,2]> (b) ",
    "BipolarQuant": f"w = {QONNX}.BipolarQuant (signs, half) r = Conv(a, w) ",
}
"""Nodes from `a` to `r`, both quantized by Quant of QONNX."""


def _model(operator: str) -> onnx.ModelProto:
    if operator in WITH_QUANT:
        body = (
            f"a = {QUANT} (x, s, none, eight) {WITH_QUANT[operator]}"
            f"y = {QUANT} (r, half, none, four)"
        )
    elif operator in INTEGER:
        scale = "eight" if "eight" in INTEGER[operator] else "t"
        body = (
            f"q = QuantizeLinear(x, s, z) {INTEGER[operator]} y = DequantizeLinear(p, {scale}, o)"
        )
    else:
        body = QUANTIZED + FLOAT[operator] + REQUANTIZED
    model = parser.parse_model(HEAD.replace("CONSTANTS", CONSTANTS) + body + "}")
    used = {name for node in model.graph.node for name in node.input}
    kept = [each for each in model.graph.initializer if each.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def _reference(path: Path, images: np.ndarray) -> np.ndarray:
    model = onnx.load(path)
    if any(node.domain == QONNX for node in model.graph.node):
        return run_onnx(path, images)["y"]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (result,) = session.run(None, {"x": images})
    return np.asarray(result)


def test_every_operator_has_a_case() -> None:
    assert {**FLOAT, **INTEGER, **WITH_QUANT}.keys() == OPERATORS.keys()


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_operator_computes_what_others_do(operator: str, tmp_path: Path) -> None:
    model = _model(operator)
    assert operator in {node.op_type for node in model.graph.node}
    onnx.save(model, tmp_path / "case.onnx")
    found = import_onnx(tmp_path / "case.onnx")
    images = np.random.default_rng(0).normal(0, 6, (20, 2, 4, 4)).astype(np.float32)
    ((name, result),) = found.real(forward(found.network, found.quantize_input(images))).items()
    assert found.exact
    assert np.unique(result).size > 3
    assert np.array_equal(result, _reference(tmp_path / "case.onnx", images)), name


@pytest.mark.parametrize("operator", sorted(REWRITES))
def test_refusal_names_the_rewrite(operator: str) -> None:
    node = Node(name="it", op=operator, inputs=("x",), outputs=("z",), attributes={})
    # Some are left to the host at the end of a model.
    after = Node(name="relu", op="Relu", inputs=("z",), outputs=("y",), attributes={})
    model = ModelFile(
        name="case",
        nodes=(node, after),
        constants={},
        input="x",
        shape=(2, 4, 4),
        integer=None,
        outputs=("y",),
        metadata={},
    )
    with pytest.raises(ExchangeError) as error:
        import_model(model)
    assert error.value.problems == (f"node 'it' ({operator}): not supported: {REWRITES[operator]}",)


def test_tables_name_each_operator_once() -> None:
    assert not OPERATORS.keys() & REWRITES.keys()
    named = [row.split(" | ")[0].strip("| ") for row in operator_rows()[2:]]
    assert named == sorted(OPERATORS)
    rewritten = [row.split(" | ")[0].strip("| ") for row in rewrite_rows()[2:]]
    assert sorted(", ".join(rewritten).split(", ")) == sorted(REWRITES)


def test_scale_that_no_multiplier_reaches_is_a_problem_of_its_node(tmp_path: Path) -> None:
    model = _model("Relu")
    (step,) = (each for each in model.graph.initializer if each.name == "t")
    # Accumulators have steps of 1/32.
    step.CopyFrom(onnx.numpy_helper.from_array(np.float32(1 / 32 / 70000), "t"))
    onnx.save(model, tmp_path / "case.onnx")
    with pytest.raises(ExchangeError, match="^node 'p' .* does not fit 16-bit mult"):
        import_onnx(tmp_path / "case.onnx", multiplier_bits=16)
