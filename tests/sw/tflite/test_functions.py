"""Functions of each value: exact tables of what the reference kernels compute."""

from pathlib import Path

import numpy as np
import pytest

from systolith.network import Table, forward
from systolith.tflite import TfliteError, import_tflite, run_kernels
from tests.support.tflite_files import TfliteFile

CODES = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
OUTPUTS = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}


def _check_all_codes(file: TfliteFile, path: Path, tables: int = 1) -> None:
    """Compare all integers with the reference kernels."""
    file.write(path)
    imported = import_tflite(path)
    assert [type(layer) for layer in imported.network.layers] == [Table] * tables
    found = imported.arrange_outputs(forward(imported.network, imported.arrange_input(CODES)))
    for values, wanted in zip(found.values(), run_kernels(path, CODES), strict=True):
        assert np.array_equal(values, wanted)


def _file(zero: int = 3) -> TfliteFile:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 256), 0.06, zero)]
    return file


@pytest.mark.parametrize(
    "kind", ["LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU", "RELU", "RELU6", "GELU", "QUANTIZE"]
)
def test_every_code_of_a_function(kind: str, tmp_path: Path) -> None:
    file = _file()
    within = file.tensor("within", (1, 256), *OUTPUTS.get(kind, (0.05, -7)))
    options, fields = ("LeakyReluOptions", {"Alpha": 0.2}) if kind == "LEAKY_RELU" else ("", {})
    file.operator(kind, [0], [within], options, **fields)
    file.outputs = [file.tensor("output", (1, 256), 0.03, 11)]
    file.operator("RELU", [within], file.outputs)
    _check_all_codes(file, tmp_path / "m.tflite", tables=2)


def test_real_functions_between_a_dequantizer_and_a_quantizer(tmp_path: Path) -> None:
    file = _file()
    names = ("real", "sine", "scaled")
    real, sine, scaled = (file.tensor(name, (1, 256), dtype="float32") for name in names)
    number = file.constant("number", np.array([3.5], dtype=np.float32))
    file.operator("DEQUANTIZE", [0], [real])
    file.operator("SIN", [real], [sine])
    file.operator("MUL", [sine, number], [scaled], "MulOptions")
    file.outputs = [file.tensor("output", (1, 256), 0.03, 11)]
    file.operator("QUANTIZE", [scaled], file.outputs)
    _check_all_codes(file, tmp_path / "m.tflite")


def test_a_product_with_a_function_of_the_same_tensor_is_one_table(tmp_path: Path) -> None:
    file = _file()
    gate = file.tensor("gate", (1, 256), 1 / 256, -128)
    file.operator("LOGISTIC", [0], [gate])
    file.outputs = [file.tensor("output", (1, 256), 0.03, -100)]
    file.operator("MUL", [0, gate], file.outputs, "MulOptions")
    _check_all_codes(file, tmp_path / "m.tflite")


def test_real_numbers_cannot_leave_the_network(tmp_path: Path) -> None:
    file = _file()
    real = file.tensor("real", (1, 256), dtype="float32")
    file.operator("DEQUANTIZE", [0], [real])
    file.outputs = [file.tensor("output", (1, 256), dtype="float32")]
    file.operator("SIN", [real], file.outputs)
    with pytest.raises(TfliteError, match="^output 'output' is constant or of real numbers"):
        import_tflite(file.write(tmp_path / "m.tflite"))


def test_operators_without_a_reference_kernel_are_refused(tmp_path: Path) -> None:
    file = _file()
    file.outputs = [file.tensor("output", (1, 256), 0.03)]
    file.operator("ELU", [0], file.outputs)
    path = file.write(tmp_path / "m.tflite")
    with pytest.raises(TfliteError, match="TFLite's reference kernels have none"):
        import_tflite(path)
    with pytest.raises(TfliteError, match="^TFLite itself refuses "):
        run_kernels(path, CODES)
