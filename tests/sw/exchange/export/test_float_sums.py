"""Files whose programs compute in float32: equal results, or a refusal that names the sum."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import ExchangeError, Format, export_model, export_onnx, import_onnx
from systolith.exchange.export.scales import choose_scales
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    IntArray,
    IntegerNetwork,
    Linear,
    Multiply,
    Requantize,
    Rounding,
    Tensor,
    forward,
)
from tests.support.onnx_graphs import run_qonnx, run_runtime

WIDE = ActType(bits=16, signed=False)


def _halved(shift: int, rounding: Rounding = Rounding.HALF_UP, **others: Any) -> Requantize:
    return Requantize(
        multiplier=np.array([1]), shift=np.array([shift]), rounding=rounding, **others
    )


def _linear(weights: IntArray, spec: Requantize, output: ActType = WIDE) -> Linear:
    return Linear(
        name="fc",
        input="input",
        weight=weights,
        bias=np.zeros(len(weights), int),
        requantize=spec,
        output=output,
        weight_bits=16,
    )


def _check(network: IntegerNetwork, integers: IntArray, folder: Path, scale: float = 1.0) -> None:
    """Compare both kinds of files, and what comes back, with golden arithmetic."""
    ((name, wanted),) = forward(network, integers).items()
    zero, point = network.input.type.zero_point, network.tensors[name].type.zero_point
    images = ((integers - zero) * np.float32(scale)).astype(np.float32)
    for form, run in ((Format.QONNX, run_qonnx), (Format.QDQ, run_runtime)):
        path = folder / f"{form.value}.onnx"
        export_onnx(network, path, form, input_scale=scale)
        steps = run(path, images) / float(choose_scales(network, scale)[name])
        assert np.array_equal(np.rint(steps).astype(np.int64) + point, wanted), form
        found = import_onnx(path)
        assert np.array_equal(found.quantize_input(images), integers)
        (back,) = forward(found.network, integers).values()
        assert np.array_equal(back, wanted), form


def test_the_greatest_whole_number_of_float32_is_exact(tmp_path: Path) -> None:
    """4 x 64 x 65535 + 256 is 2**24; one step more is not a float32."""
    weights = np.array([[64, 64, 64, 64], [-64, 64, -64, 64]])
    inputs = np.array([[65535] * 4, [65535, 65534, 65533, 1], [0, 65535, 0, 65535]])
    network = IntegerNetwork(input=Tensor((4,), WIDE), layers=(_linear(weights, _halved(8)),))
    layer = network.layers[0]
    assert isinstance(layer, Linear)
    for bias, problem in ((256 - 128, ""), (256 + 1, "reach 16,777,217")):
        spec = layer.requantize
        drawn = replace(network, layers=(replace(layer, bias=np.array([bias, 0])),))
        if not problem:
            _check(drawn, inputs, tmp_path)
            continue
        assert spec.power_of_two
        for form in Format:
            with pytest.raises(ExchangeError) as error:
                export_model(drawn, form)
            (text,) = error.value.problems
            assert text == (
                f"layer 'fc': sums {problem}; float32, in which the file is computed, holds whole "
                "numbers up to 16,777,216: give its weights, its bias or its input fewer bits"
            )


def test_half_a_unit_is_part_of_the_sum() -> None:
    weights = np.array([[255, 1]])
    network = IntegerNetwork(input=Tensor((2,), WIDE), layers=(_linear(weights, _halved(10)),))
    with pytest.raises(ExchangeError, match="before they are rounded reach 16,777,472 steps"):
        export_model(network, Format.QDQ)
    # Results that are clipped need no half.
    few = replace(network, layers=(_linear(weights, _halved(10), ActType(bits=8, signed=False)),))
    export_model(few, Format.QDQ)


@pytest.mark.parametrize("kind", ["add", "average", "product"])
def test_each_operator_that_accumulates(kind: str) -> None:
    made = {"requantize": _halved(10), "output": WIDE, "name": kind}
    layer: Add | AvgPool2d | Multiply
    match kind:
        case "add":
            layer = Add(inputs=("input", "input"), multipliers=(1, 512), **made)
        case "average":
            layer = AvgPool2d(input="input", kernel_size=(32, 16), **made)
        case _:
            layer = Multiply(inputs=("input", "input"), **made)
    network = IntegerNetwork(input=Tensor((1, 32, 16), WIDE), layers=(layer,))
    words = {
        "add": r"reach 33,619,455; .*: give its inputs fewer bits, or scales that are closer",
        "average": r"reach 33,553,920; .*: make its window smaller, or give its input fewer bits",
        "product": r"reach 4,294,836,225; .*: give its inputs fewer bits$",
    }
    with pytest.raises(ExchangeError, match=f"^layer '{kind}': sums {words[kind]}"):
        export_model(network, Format.QONNX)


def test_common_factors_and_other_scales_are_no_longer_sums(tmp_path: Path) -> None:
    spec, act = _halved(14), ActType(bits=8, signed=True)
    layer = Add(name="sum", inputs=("input",) * 2, multipliers=(1 << 12, 1 << 14), requantize=spec,
                output=act)  # fmt: skip
    network = IntegerNetwork(input=Tensor((1,), ActType(bits=12, signed=True)), layers=(layer,))
    _check(network, np.arange(-2048, 2048, 41)[:, None], tmp_path)
    # Factors that are no powers of two are rounded themselves, whatever the sums are.
    real = replace(network, layers=(replace(layer, multipliers=(40000, 50000)),))
    export_model(real, Format.QDQ)


def test_sums_of_more_steps_than_float32_has_are_refused() -> None:
    spec = Requantize(multiplier=np.array([3]), shift=np.array([0]))
    network = IntegerNetwork(input=Tensor((2,), WIDE), layers=(_linear(np.full((1, 2), 99), spec),))
    with pytest.raises(ExchangeError, match="reach 38,927,790 steps of its output"):
        export_model(network, Format.QDQ)


@pytest.mark.parametrize("zero", [2, 5])
@pytest.mark.parametrize("rounding", list(Rounding)[:3])
def test_zero_points_beside_which_float32_loses_a_sum(
    rounding: Rounding, zero: int, tmp_path: Path
) -> None:
    """QONNX adds the zero point before it rounds; -1 / 2**45 + 2 is 2 in float32."""
    act = ActType(bits=3, signed=False, zero_point=zero)
    for shift in (45, 23):
        spec = _halved(shift, rounding)
        layer = _linear(np.array([[7, -9], [4097, 4096]]), spec, act)
        network = IntegerNetwork(input=Tensor((2,), ActType(bits=11, signed=True)), layers=(layer,))
        rows = [[-1, 0], [0, 1], [0, 0], [1023, 1023], [-1024, -1024], [0, -1024], [-1024, 1]]
        if rounding is Rounding.HALF_EVEN and shift == 23:
            with pytest.raises(ExchangeError, match="ties to even.*export as qdq"):
                export_model(network, Format.QONNX)
        else:
            _check(network, np.array([*rows, [1023, 1], [1023, 2], [1023, 3]]), tmp_path)


@pytest.mark.parametrize("rounding", [Rounding.HALF_UP, Rounding.FLOOR])
def test_ties_stay_ties_at_other_scales_of_the_input(rounding: Rounding, tmp_path: Path) -> None:
    """At a scale of 1/255, float32 computes no tie exactly: sums are moved off them."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-8, 8, (40, 20))
    layer = _linear(weights, _halved(3, rounding), ActType(bits=10, signed=True, zero_point=3))
    network = IntegerNetwork(input=Tensor((20,), ActType(bits=8, signed=False)), layers=(layer,))
    integers = rng.integers(0, 256, (60, 20))
    _check(network, integers, tmp_path, 1 / 255)
    double = replace(layer, requantize=Requantize(
        multiplier=np.array([2]), shift=np.array([0]), rounding=rounding))  # fmt: skip
    _check(replace(network, layers=(double,)), integers, tmp_path, 1 / 255)
