"""Files that other tools wrote: equal to ONNX Runtime, or refused by name."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from systolith.exchange import ExchangeError, import_onnx, quantize_onnx

FILES = sorted((Path(__file__).parent / "files").glob("*.onnx"))
REFUSED = {
    "torch_dynamo_float": "the file has no quantizers: quantize it with calibration images",
}
"""Files that are not imported as they are, and why."""
ROUNDED = ("brevitas_qcdq_w4a4", "nncf_mixed")
"""Files some of whose values lie so near to a half that float32 comes to the other side of it."""


def _by_name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", FILES, ids=_by_name)
def test_file_of_another_tool_is_equal_or_refused_by_name(path: Path) -> None:
    if path.stem in REFUSED:
        with pytest.raises(ExchangeError, match=REFUSED[path.stem]):
            import_onnx(path)
        return
    agreement = import_onnx(path).agreement
    assert agreement is not None and agreement.executor is not None
    if path.stem in ROUNDED:
        assert 0 < agreement.apart < agreement.inner / 1000
    else:
        assert agreement.equal, str(agreement)


def test_float_file_of_the_new_exporter_of_pytorch_is_quantized_here(tmp_path: Path) -> None:
    (source,) = (path for path in FILES if path.stem == "torch_dynamo_float")
    images = np.random.default_rng(5).standard_normal((16, 3, 8, 8)).astype(np.float32)
    onnx.save(quantize_onnx(source, images), tmp_path / "quantized.onnx")
    agreement = import_onnx(tmp_path / "quantized.onnx", images=images).agreement
    assert agreement is not None and agreement.equal, str(agreement)


def test_no_file_holds_a_stack_trace() -> None:
    for path in FILES:
        assert b'File "' not in path.read_bytes(), path.name
