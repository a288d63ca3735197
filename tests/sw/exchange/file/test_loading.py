"""What files leave out and other readers take for granted; files that are of another kind."""

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.cleanup import cleanup_model

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import forward
from tests.support.onnx_graphs import QONNX, GraphBuilder, run_runtime


def _small(path: Path) -> onnx.ModelProto:
    """One convolution between ONNX's own quantizers."""
    made = GraphBuilder((2, 5, 5))
    weight = made.stored(np.arange(54).reshape(3, 2, 3, 3) % 7 - 3, 0.25)
    y = made.node("Conv", made.linear("x", 0.5), weight)
    return onnx.load(made.save(path, made.linear(y, 4.0)))


def _small_qonnx(path: Path) -> onnx.ModelProto:
    made = GraphBuilder((6,))
    weight = made.quant(made.const(np.arange(24).reshape(6, 4) / 8 - 1), 0.25, bits=4)
    y = made.node("MatMul", made.quant("x", 0.5), weight)
    return onnx.load(made.save(path, made.quant(y, 0.25)))


def _list_initializers(model: onnx.ModelProto) -> None:
    for each in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(each.name, each.data_type, list(each.dims))
        )


def _as_before_ir_4(model: onnx.ModelProto) -> None:
    model.ir_version = 3


def _half_listed(model: onnx.ModelProto) -> None:
    _list_initializers(model)
    del model.graph.input[-1]
    model.ir_version = 3


def _other_name_of_onnx(model: onnx.ModelProto) -> None:
    model.opset_import[0].domain = "ai.onnx"
    model.graph.node[0].domain = "ai.onnx"


def _batch_of_minus_one(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1


@pytest.mark.parametrize(
    "change",
    [
        _list_initializers,
        _as_before_ir_4,
        _half_listed,
        _other_name_of_onnx,
        _batch_of_minus_one,
    ],
)
def test_what_onnx_runtime_reads_is_read(
    change: Callable[[onnx.ModelProto], None], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    model = _small(path)
    images = np.random.default_rng(0).normal(0, 30, (3, 2, 5, 5)).astype(np.float32)
    wanted = run_runtime(path, images)
    change(model)
    onnx.save(model, path)
    found = import_onnx(path)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    assert np.array_equal(ours, wanted)


@pytest.mark.parametrize("scalars", [True, False])
@pytest.mark.parametrize("listed", [True, False])
def test_shapes_are_worked_out_whether_initializers_are_inputs_or_not(
    listed: bool, scalars: bool, tmp_path: Path
) -> None:
    made = GraphBuilder((2, 5, 5))
    scale: float | list[float] = 0.5 if scalars else [0.5]
    zero: int | list[int] = 0 if scalars else [0]
    x = made.node("QuantizeLinear", "x", made.const(scale), made.const(zero, np.uint8))
    x = made.node("DequantizeLinear", x, made.const(scale), made.const(zero, np.uint8))
    parts = [made.const([-1], np.int64), made.const([50], np.int64)]
    x = made.node("Reshape", x, made.node("Concat", *parts, axis=0))
    y = made.node("MatMul", x, made.stored(np.ones((50, 3)), 0.5))
    path = made.save(tmp_path / "model.onnx", made.linear(y, 8.0))
    if listed:
        model = onnx.load(path)
        _list_initializers(model)
        onnx.save(model, path)
    network = import_onnx(path).network
    assert [network.tensors[name].shape for name in network.outputs] == [(3,)]


def _without_import(model: onnx.ModelProto) -> None:
    (found,) = (each for each in model.opset_import if each.domain == QONNX)
    model.opset_import.remove(found)


def _without_domain(model: onnx.ModelProto) -> None:
    _without_import(model)
    for node in model.graph.node:
        node.domain = ""


def _cleaned_up_from_brevitas(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.domain = "onnx.brevitas" if node.domain else ""
    (found,) = (each for each in model.opset_import if each.domain == QONNX)
    found.domain = "onnx.brevitas"
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.CopyFrom(cleanup_model(ModelWrapper(model)).model)
    assert QONNX not in {each.domain for each in model.opset_import}


@pytest.mark.parametrize("change", [_without_import, _without_domain, _cleaned_up_from_brevitas])
def test_domains_of_qonnx_need_not_be_imported(
    change: Callable[[onnx.ModelProto], None], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    model = _small_qonnx(path)
    vectors = np.random.default_rng(0).integers(-8, 8, (5, 6)) / 2
    before = import_onnx(path)
    wanted = forward(before.network, before.quantize_input(vectors))
    change(model)
    onnx.save(model, path)
    found = import_onnx(path)
    ours = forward(found.network, found.quantize_input(vectors))
    assert np.array_equal(*ours.values(), *wanted.values())


def test_functions_of_a_model_are_inlined(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = _small(path)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    inner = helper.make_node("Conv", ["a", "b"], ["c"])
    model.functions.append(
        helper.make_function(
            "mine", "Twist", ["a", "b"], ["c"], [inner], [helper.make_opsetid("", 17)]
        )
    )
    conv.op_type, conv.domain = "Twist", "mine"
    model.opset_import.append(helper.make_opsetid("mine", 1))
    onnx.save(model, path)
    assert len(import_onnx(path).network.layers) == 1


def test_integers_of_four_bits_go_through_a_node(tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    weight = helper.make_tensor("w", TensorProto.INT4, [4, 4], [1, -2, 3, 4] * 4)
    made.constants.append(weight)
    real = made.node("DequantizeLinear", made.node("Identity", "w"), made.const(0.5))
    y = made.node("MatMul", made.linear("x", 1.0), real)
    path = made.save(tmp_path / "model.onnx", made.linear(y, 4.0))
    (layer,) = import_onnx(path).network.layers
    assert layer.weight.tolist() == [[by] * 4 for by in (1, -2, 3, 4)]  # type: ignore[union-attr]


def _torch() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, buffer)
    return buffer.getvalue()


def _zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "content")
    return buffer.getvalue()


def _safetensors() -> bytes:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
    return len(header).to_bytes(8, "little") + header.encode() + bytes(4)


FOREIGN = {
    "model.tflite": (bytes(4) + b"TFL3" + bytes(20), "is a TFLite file", "tf2onnx"),
    "model.ort": (bytes(4) + b"ORTM" + bytes(20), "ONNX Runtime's own format", "the .onnx file"),
    "model.pt": (_torch(), "is a PyTorch file", "export_qonnx"),
    "old.pt": (pickle.dumps({"weight": 1}, protocol=2), "is a pickle", "torch.onnx.export"),
    "model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(9), "is an HDF5 file", "tf2onnx"),
    "model.keras": (_zipped("model.weights.h5"), "is a Keras file", "tf2onnx"),
    "model.zip": (_zipped("inner.onnx"), "is a ZIP archive", "unpack it and give inner.onnx"),
    "data.npz": (_zipped("images.npy"), "is a ZIP archive", "an ONNX model is needed"),
    "frozen.pb": (b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder", "a graph of TensorFlow", "tf2onnx"),
    "weights.safetensors": (_safetensors(), "is a safetensors file", "export"),
    "network.onnx": (b'{"layers": []}', "is JSON text", "estimate, verify and simulate"),
    "large.onnx": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
    "model.onnx.gz": (gzip.compress(b"model"), "compressed by gzip", "unpack it"),
    "model.xml": (b"<?xml version='1.0'?><net/>", "is XML", "the ONNX file it was made of"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_kinds_are_named_with_a_way_forward(name: str, tmp_path: Path) -> None:
    content, kind, hint = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ExchangeError) as error:
        import_onnx(tmp_path / name)
    assert kind in str(error.value) and hint in str(error.value) and name in str(error.value)


def test_a_folder_names_the_models_in_it(tmp_path: Path) -> None:
    _small(tmp_path / "inside.onnx")
    with pytest.raises(ExchangeError, match="is a folder: give one of inside.onnx"):
        import_onnx(tmp_path)


def _external(path: Path) -> Path:
    model = _small(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=16)
    return path.with_name("weights.bin")


def test_data_beside_the_model_is_read(tmp_path: Path) -> None:
    _external(tmp_path / "model.onnx")
    assert len(import_onnx(tmp_path / "model.onnx").network.layers) == 1


def test_data_that_is_not_beside_the_model(tmp_path: Path) -> None:
    _external(tmp_path / "model.onnx").unlink()
    wanted = "keeps weights in weights.bin, not there: copy it into .*, or save the model as one"
    with pytest.raises(ExchangeError, match=wanted):
        import_onnx(tmp_path / "model.onnx")


def test_data_that_is_cut_off(tmp_path: Path) -> None:
    beside = _external(tmp_path / "model.onnx")
    beside.write_bytes(beside.read_bytes()[:5])
    with pytest.raises(ExchangeError, match=r"weights\.bin cannot be read: .*; copy model and"):
        import_onnx(tmp_path / "model.onnx")


def _newer_format(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def _no_operator_sets(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def _strings(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def _sequence(model: onnx.ModelProto) -> None:
    old = model.graph.input[0].name
    of = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [1]))
    model.graph.input[0].CopyFrom(helper.make_value_info(old, of))


def _no_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def _no_axes(model: onnx.ModelProto) -> None:
    del model.graph.input[0].type.tensor_type.shape.dim[:]


def _negative_size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -3


def _empty_images(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 0


def _twice(model: onnx.ModelProto) -> None:
    model.graph.node.append(model.graph.node[0])


def _channels_last(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "qonnx.custom_op.channels_last"


def _sparse(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))


BAD: dict[Callable[[onnx.ModelProto], None], str] = {
    _newer_format: "version 99 of ONNX's format, up to .* is known: install a newer onnx",
    _no_operator_sets: "does not say which operator set of ONNX it uses: add one",
    _strings: "input 'x' holds string; images are numbers",
    _sequence: "input 'x' is a sequence_type; a tensor is needed",
    _no_shape: r"must hold images \(N, C, H, W\) or vectors \(N, features\), got \(\)",
    _no_axes: r"must hold images \(N, C, H, W\) or vectors \(N, features\), got \(\)",
    _negative_size: r"sizes less than 1: \(N, 2, -3, 5\); .*--input-shape",
    _empty_images: r"sizes that are not known before it runs: .*--input-shape",
    _twice: "not a valid ONNX model: .*; no tool that follows the standard can read it",
    _channels_last: r"\(DequantizeLinear\): not supported: import the file from before qonnx",
    _sparse: "constant 'sparse' is stored sparsely; store it densely",
}


@pytest.mark.parametrize("change", BAD, ids=lambda change: change.__name__[1:])
def test_bad_models_are_refused_with_a_way_forward(
    change: Callable[[onnx.ModelProto], None], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    model = _small(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ExchangeError, match=BAD[change]) as error:
        import_onnx(path)
    assert len(error.value.problems) == 1


def _open_sizes(path: Path) -> None:
    model = _small(path)
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = "size"
    onnx.save(model, path)


def test_open_sizes_are_given(tmp_path: Path) -> None:
    _open_sizes(tmp_path / "model.onnx")
    found = import_onnx(tmp_path / "model.onnx", input_shape=(2, 6, 7))
    assert found.network.input.shape == (2, 6, 7)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((3, 6, 7), r"input_shape \(3, 6, 7\) does not fit input 'x', \(N, 2, size, size\)"),
        ((6, 7), r"input_shape \(6, 7\) does not fit input 'x'"),
        ((2, 0, 7), "input_shape must be sizes of an image"),
        ((), "input_shape must be sizes of an image"),
    ],
)
def test_given_sizes_have_to_fit(shape: tuple[int, ...], said: str, tmp_path: Path) -> None:
    _open_sizes(tmp_path / "model.onnx")
    with pytest.raises(ExchangeError, match=said):
        import_onnx(tmp_path / "model.onnx", input_shape=shape)
