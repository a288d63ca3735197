"""Float files, quantized by ONNX Runtime with calibration images, and imported."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from systolith.exchange import ExchangeError, ImportedModel, import_onnx, quantize_onnx, run_onnx
from systolith.network import ActType, Conv2d, IntegerNetwork, Table, forward
from tests.support.onnx_graphs import GraphBuilder

IMAGES: Any = np.random.default_rng(3).normal(0, 1, (12, 3, 8, 8)).astype(np.float32)


def _weights(build: GraphBuilder, *shape: int) -> str:
    return build.const(np.random.default_rng(len(build.constants)).normal(0, 0.4, shape))


def _norm(build: GraphBuilder, x: str, channels: int) -> str:
    rng = np.random.default_rng(7)
    given = [rng.uniform(0.5, 2, channels), *rng.normal(0, 1, (2, channels))]
    given.append(rng.uniform(0.5, 2, channels))
    return build.node("BatchNormalization", x, *map(build.const, given))


def _residual(build: GraphBuilder) -> str:
    """Batch norms, ReLU, ReLU6, an addition, pools and a softmax."""
    x = build.node("Conv", "x", _weights(build, 4, 3, 3, 3), pads=[1] * 4)
    x = build.node("Relu", _norm(build, x, 4))
    y = build.node("Conv", x, _weights(build, 4, 4, 3, 3), _weights(build, 4), pads=[1] * 4)
    x = build.node("Relu", build.node("Add", _norm(build, y, 4), x))
    x = build.node("Conv", x, _weights(build, 4, 1, 3, 3), group=4, strides=[2, 2])
    x = build.node("Clip", x, build.const(0), build.const(6))
    x = build.node("Flatten", build.node("GlobalAveragePool", x))
    return build.node("Softmax", build.node("Gemm", x, _weights(build, 5, 4), transB=1), axis=1)


def _branches(build: GraphBuilder) -> str:
    """SiLU, HardSwish, Tanh, slices, concatenation, upsampling and blocks made pixels."""
    x = build.node("Conv", "x", _weights(build, 4, 3, 3, 3), pads=[1] * 4)
    x = build.node("Mul", x, build.node("Sigmoid", x))
    small = build.node("HardSwish", build.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    scales = build.const([1, 1, 2, 2])
    kinds = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    wide = build.node("Resize", small, "", scales, nearest_mode="floor", **kinds)
    x = build.node("Concat", x, wide, axis=1)
    x = build.node("Conv", x, _weights(build, 8, 8, 1, 1))
    bounds = [build.const(values, np.int64) for values in ([0], [4], [8], [1])]
    first = build.node("Slice", x, bounds[0], bounds[1], bounds[3])
    second = build.node("Slice", x, bounds[1], bounds[2], bounds[3])
    x = build.node("Add", build.node("Tanh", first), build.node("LeakyRelu", second, alpha=0.1))
    return build.node("DepthToSpace", x, blocksize=2)


def _imported(
    path: Path, draw: Any, images: NDArray[np.float32] = IMAGES, opset: int = 17
) -> tuple[ImportedModel, Path]:
    build = GraphBuilder((3, 8, 8))
    build.save(path / "float.onnx", draw(build), opset=opset)
    onnx.save(quantize_onnx(path / "float.onnx", images), path / "quantized.onnx")
    return import_onnx(path / "quantized.onnx", images=images), path / "float.onnx"


def _kinds(network: IntegerNetwork) -> list[str]:
    return [type(layer).__name__ for layer in network.layers]


@pytest.mark.parametrize("draw", [_residual, _branches])
def test_quantized_file_equals_runtime_on_the_images(draw: Any, tmp_path: Path) -> None:
    model, source = _imported(tmp_path, draw)
    assert model.agreement is not None and model.agreement.equal
    assert model.agreement.given and model.agreement.images == len(IMAGES)
    assert "12 given images" in str(model.agreement)
    (ours,) = model.real(forward(model.network, model.quantize_input(IMAGES))).values()
    wanted = next(iter(run_onnx(source, IMAGES).values()))
    if draw is _residual:
        wanted = np.log(wanted) - np.log(wanted).mean(1, keepdims=True)
        ours = ours - ours.mean(1, keepdims=True)
    assert np.corrcoef(ours.ravel(), wanted.ravel())[0, 1] > 0.99


def test_weights_are_symmetric_and_activations_use_all_codes(tmp_path: Path) -> None:
    model, _ = _imported(tmp_path, _residual)
    layers = [layer for layer in model.network.layers if isinstance(layer, Conv2d)]
    assert [layer.output.zero_point for layer in layers] == [0, 128, 0]
    assert all(layer.weight_bits == 8 and abs(layer.weight).max() == 127 for layer in layers)
    assert model.network.input.type == ActType(bits=8, signed=False, zero_point=128)
    assert not _kinds(model.network).count("Clip")


def test_function_of_several_nodes_is_one_table(tmp_path: Path) -> None:
    model, _ = _imported(tmp_path, _branches)
    assert sum(isinstance(layer, Table) for layer in model.network.layers) == 4


def test_batch_of_the_file_and_its_operator_set_do_not_matter(tmp_path: Path) -> None:
    build = GraphBuilder((3, 8, 8))
    output = _residual(build)
    first = build.save(tmp_path / "open.onnx", output)
    build.save(tmp_path / "five.onnx", output, batch=5)
    wanted = quantize_onnx(first, IMAGES)
    got = quantize_onnx(tmp_path / "five.onnx", IMAGES)
    scales = [
        {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
        for model in (wanted, got)
    ]
    assert scales[0].keys() == scales[1].keys()
    assert all(np.array_equal(values, scales[1][name]) for name, values in scales[0].items())
    model, _ = _imported(tmp_path, _plain, opset=11)
    assert model.agreement is not None and model.agreement.equal


def _plain(build: GraphBuilder) -> str:
    return build.node("Relu", build.node("Conv", "x", _weights(build, 4, 3, 3, 3)))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES[:, :2], "calibration images must have shape (N, 3, 8, 8), got (12, 2, 8, 8)"),
        (IMAGES[:0], "got (0, 3, 8, 8); one image at least is needed"),
        (IMAGES[0], "must have shape (N, 3, 8, 8), got (3, 8, 8)"),
        (IMAGES.astype(np.uint8), "must be floats as the model reads them"),
        (np.full_like(IMAGES, np.nan), "must be numbers"),
    ],
)
def test_unfit_images_are_named(images: Any, said: str, tmp_path: Path) -> None:
    build = GraphBuilder((3, 8, 8))
    path = build.save(tmp_path / "model.onnx", _residual(build))
    with pytest.raises(ExchangeError, match=re.escape(said)):
        quantize_onnx(path, images)


def test_all_refused_operators_are_named_before_the_images_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from systolith.exchange import calibrating

    runs: list[int] = []
    quantize = calibrating._quantize

    def counting(prepared: Path, images: NDArray[Any], file: Path) -> None:
        runs.append(len(images))
        quantize(prepared, images, file)

    monkeypatch.setattr(calibrating, "_quantize", counting)
    build = GraphBuilder((3, 8, 8))
    x = build.node("Conv", "x", _weights(build, 4, 3, 3, 3))
    x = build.node("InstanceNormalization", x, build.const(np.ones(4)), build.const(np.zeros(4)))
    x = build.node("Conv", x, _weights(build, 4, 4, 1, 1))
    x = build.node("CumSum", build.node("Flatten", x), build.const(1, np.int64))
    path = build.save(tmp_path / "model.onnx", x)
    with pytest.raises(ExchangeError) as caught:
        quantize_onnx(path, IMAGES)
    said = "\n".join(caught.value.problems)
    assert "(InstanceNormalization)" in said and "(CumSum)" in said and "(Conv)" not in said
    assert runs == [2]


def test_quantized_file_needs_no_calibration(tmp_path: Path) -> None:
    _imported(tmp_path, _residual)
    with pytest.raises(ExchangeError, match=r"^the file is quantized already, by node "):
        quantize_onnx(tmp_path / "quantized.onnx", IMAGES)
    with pytest.raises(ExchangeError, match="the file has no quantizers: quantize it with"):
        import_onnx(tmp_path / "float.onnx")
