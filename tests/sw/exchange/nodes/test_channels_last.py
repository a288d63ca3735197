"""Operators of QONNX whose tensors keep channels last."""

from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import ExchangeError, ImportedModel, import_onnx
from tests.support.onnx_graphs import GraphBuilder

DOMAIN = "qonnx.custom_op.channels_last"


def _conv(made: GraphBuilder, x: str, filters: int, channels: int, group: int = 1) -> str:
    values = np.random.default_rng(0).integers(-3, 4, (filters, 3, 3, channels // group))
    weights = made.quant(made.const(values * 0.25), 0.25, 0, 3)
    return made.node(
        "Conv",
        x,
        weights,
        domain=DOMAIN,
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        strides=[1, 1],
        dilations=[1, 1],
        group=group,
    )


def _equal(path: Path) -> ImportedModel:
    found = import_onnx(path)
    assert found.agreement is not None and found.agreement.equal and found.exact
    return found


def test_convolutions_and_pools(tmp_path: Path) -> None:
    made = GraphBuilder((6, 4, 3))
    y = made.quant(_conv(made, made.quant("x", 0.125), 3, 3, 3), 0.25)
    y = made.quant(made.node("Relu", _conv(made, y, 5, 3)), 0.5, signed=0)
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, "ceil_mode": 0}
    y = made.node("MaxPool", y, domain=DOMAIN, **pool)
    y = made.node("Add", _conv(made, y, 2, 5), made.const([0.5, -1.0]))
    found = _equal(made.save(tmp_path / "last.onnx", made.quant(y, 2.0)))
    assert found.input.shape == (6, 4, 3) and found.network.input.shape == (3, 6, 4)
    (real,) = found.real({name: np.zeros((1, 2, 3, 2)) for name in found.network.outputs}).values()
    assert real.shape == (1, 3, 2, 2)


def test_flattened_in_that_order(tmp_path: Path) -> None:
    made = GraphBuilder((4, 4, 2))
    y = made.quant(_conv(made, made.quant("x", 0.125), 3, 2), 0.5)
    y = made.node("Reshape", y, made.const([1, -1], np.int64))
    weights = made.const(np.random.default_rng(1).integers(-3, 4, (48, 5)) * 0.25)
    y = made.node("MatMul", y, made.quant(weights, 0.25, 0, 3))
    _equal(made.save(tmp_path / "flat.onnx", made.quant(y, 2.0), batch=1))


def test_batch_norm(tmp_path: Path) -> None:
    made = GraphBuilder((4, 4, 2))
    y = _conv(made, made.quant("x", 0.125), 3, 2)
    norm = [[0.5, 1.0, 2.0], [0.25, -1.0, 3.0], [0.0] * 3, [1.0] * 3]
    given = [made.const(each) for each in norm]
    y = made.node("BatchNormalization", y, *given, domain=DOMAIN, epsilon=0.0)
    _equal(made.save(tmp_path / "norm.onnx", made.quant(y, 0.5)))


def test_vectors_are_refused(tmp_path: Path) -> None:
    made = GraphBuilder((3,))
    path = made.save(tmp_path / "row.onnx", _conv(made, made.quant("x", 0.125), 3, 3), batch=1)
    with pytest.raises(ExchangeError, match=r"reads shape \(3,\); images \(N, H, W, C\)"):
        import_onnx(path)


def test_order_of_what_stands_in_for_a_problem_is_not_told(tmp_path: Path) -> None:
    made = GraphBuilder((4, 4, 2))
    y = made.node("LpNormalization", _conv(made, made.quant("x", 0.125), 2, 2))
    y = _conv(made, made.quant(y, 0.125), 2, 2)
    with pytest.raises(ExchangeError) as error:
        import_onnx(made.save(tmp_path / "leaky.onnx", made.quant(y, 1.0), batch=1))
    (problem,) = error.value.problems
    assert "(LpNormalization): not supported" in problem
