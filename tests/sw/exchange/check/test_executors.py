"""How files' own executors are given their images."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from systolith.exchange import import_onnx
from systolith.exchange.check import executors
from tests.support.onnx_graphs import GraphBuilder


def _model(path: Path, batch: int | str, shape: list[int]) -> Path:
    made = GraphBuilder((2, 4, 4))
    weights = np.random.default_rng(2).integers(-7, 8, (3, 2, 3, 3)) / 4
    y = made.node("Conv", made.quant("x", 0.5), made.quant(made.const(weights), 0.25))
    y = made.node("Reshape", made.quant(y, 1.0), made.const(shape, np.int64))
    last = np.random.default_rng(3).integers(-7, 8, (12, 5)) / 4
    y = made.node("MatMul", y, made.quant(made.const(last), 0.25))
    return made.save(path, made.quant(y, 2.0), batch=batch)


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize(
    ("shape", "together"), [([-1, 12], True), ([0, 12], True), ([1, -1], False), ([1, 12], False)]
)
def test_qonnx_runs_all_images_at_once_where_the_file_allows_it(
    batch: int | str,
    shape: list[int],
    together: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = _model(tmp_path / "model.onnx", batch, shape)
    sizes: list[int] = []
    execute = executors._execute

    def counted(shaped: Any, images: Any) -> Any:
        sizes.append(len(images))
        return execute(shaped, images)

    monkeypatch.setattr(executors, "_execute", counted)
    found = import_onnx(path).agreement
    assert found is not None and found.equal and found.layers >= 2
    assert sizes == ([found.images] if together else [1] * found.images)
    assert "Error" not in capfd.readouterr().err, "what a program tried is not the user's concern"


def test_qonnx_runs_images_one_by_one_where_a_batch_mixes_them(tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    y = made.quant("x", 0.5)
    weights = made.quant(made.const(np.eye(4)), 1.0)
    y = made.quant(made.node("MatMul", y, weights), 1.0)
    flat = made.node("Flatten", made.node("Flatten", y, axis=0), axis=0)
    path = made.save(tmp_path / "model.onnx", flat)
    images = np.random.default_rng(0).normal(0, 4, (3, 4)).astype(np.float32)
    qonnx = next(each for each in executors.EXECUTORS if each.qonnx)
    found = qonnx.run(onnx.load(path), images, [flat, y])
    assert found[flat].shape == found[y].shape == (3, 4)
    assert np.array_equal(found[flat], found[y])
