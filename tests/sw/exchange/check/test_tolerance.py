"""Errors of an executor's float32 are no disagreement; those of a layer are, however small."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import DisagreementError, import_onnx
from systolith.exchange.check.tolerance import Bounds, bound_results
from systolith.exchange.layers import draft
from systolith.exchange.values.quantizer import Quantizer
from systolith.exchange.values.requantizers import FittedRequantizer, fit_requantizer
from systolith.exchange.values.value import FloatArray, PendingLayer
from systolith.network import ActType, Rounding, Table, Tensor
from tests.support.onnx_graphs import GraphBuilder

CHANNELS = 24
STEP, UNIT = 0.125, 1.0
"""Of the sums and of the results: each eighth sum is half way between two results."""


def _gemm(path: Path, bias: FloatArray, scale: float = STEP) -> Path:
    made = GraphBuilder((8,))
    integers = np.random.default_rng(3).integers(-2, 3, (len(bias), 8))
    weights = made.stored(integers, scale)
    y = made.node("Gemm", made.linear("x", 1.0), weights, made.const(bias), transB=1)
    return made.save(path, made.linear(y, UNIT, 128))


def _just_below_whole_steps() -> FloatArray:
    """Biases that float32 still tells from whole steps, and no more once they are in a sum."""
    steps = np.random.default_rng(0).integers(1, 6, CHANNELS)
    return np.asarray((steps - steps * 2.0**-21.5) * STEP)


def test_sums_that_float32_rounds_to_a_tie_are_no_disagreement(tmp_path: Path) -> None:
    found = import_onnx(_gemm(tmp_path / "model.onnx", _just_below_whole_steps()))
    assert found.exact and found.agreement is not None
    assert found.agreement.apart > 0, "the executor's float32 made no error"
    assert found.agreement.layers == 1


def test_narrow_multipliers_beside_float32_are_no_disagreement(tmp_path: Path) -> None:
    # In each channel, one sum is 2**-25 of a result above a half; float32 takes it for the half.
    scale = float(np.float32(0.1837))
    bias = 2.5 - np.arange(8 * CHANNELS) * scale + 2.0**-25
    found = import_onnx(_gemm(tmp_path / "model.onnx", bias, scale))
    assert found.exact and found.agreement is not None and found.agreement.layers == 1
    assert found.agreement.apart > 0, "the executor's float32 made no error"


Change = Callable[[FittedRequantizer], FittedRequantizer]


def _spec(found: FittedRequantizer, **changes: object) -> FittedRequantizer:
    return replace(found, spec=replace(found.spec, **changes))  # type: ignore[arg-type]


FAULTS: dict[str, Change] = {
    "two steps more": lambda found: replace(found, bias=found.bias + 2),
    "two steps of one channel less": lambda found: replace(
        found, bias=found.bias - 2 * (np.arange(CHANNELS) == 9)
    ),
    "ratio": lambda found: _spec(
        found,
        multiplier=found.spec.multiplier * 33,
        shift=found.spec.shift + 5,
    ),
    "down": lambda found: _spec(found, rounding=Rounding.FLOOR),
    "ties": lambda found: _spec(
        found,
        rounding=Rounding.HALF_UP
        if found.spec.rounding is Rounding.HALF_EVEN
        else Rounding.HALF_EVEN,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("whole", [True, False])
def test_errors_of_a_layer_are_found_all_the_same(
    fault: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bias = np.arange(CHANNELS) * STEP if whole else _just_below_whole_steps()
    path = _gemm(tmp_path / "model.onnx", bias)
    assert import_onnx(path).agreement is not None

    def broken(
        pending: PendingLayer, quantizer: Quantizer, bits: int
    ) -> FittedRequantizer | list[str]:
        found = fit_requantizer(pending, quantizer, bits)
        assert isinstance(found, FittedRequantizer)
        return FAULTS[fault](found)

    monkeypatch.setattr(draft, "fit_requantizer", broken)
    with pytest.raises(DisagreementError, match="does not compute what ONNX Runtime"):
        import_onnx(path)


def test_table_of_uncertain_integers_reaches_all_values_between() -> None:
    act = ActType(bits=3, signed=False)
    values = np.array([0, 5, 1, 7, 3, 3, 2, 6])
    layer = Table(name="table", input="input", values=values, output=act)
    low, high = np.array([[0, 4, 2]]), np.array([[2, 5, 2]])
    got = bound_results(
        layer,
        [Bounds(value=low, low=low, high=high)],
        [Tensor((3,), act)],
        real=None,
        units=0.0,
        scales=[None, None],
    )
    assert got is not None
    assert got.value.tolist() == [[0, 3, 1]]
    assert (got.low.tolist(), got.high.tolist()) == ([[0, 3, 1]], [[5, 3, 1]])
