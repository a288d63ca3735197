"""Constants for each channel, and operators of two tensors, against the reference kernels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from systolith.network import ActType, Add, AvgPool2d, Conv2d, Linear, requantize
from systolith.tflite import TfliteError, import_tflite
from systolith.tflite.operators.fitting import fit_scaling, fit_thresholds
from tests.support.tflite_files import TfliteFile

IMAGE, VECTOR = (1, 3, 4, 5), (1, 5)
INPUT_SCALE = (0.05, 7)
OWN_SCALE = (0.06, 3)
SAME_SCALE = ("MAXIMUM", "MINIMUM")
RELU = 1


class Sums(TfliteFile):
    """A file with one input."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.rng = np.random.default_rng(len(shape))
        self.inputs = [self.tensor("input", shape, *INPUT_SCALE)]

    def channels(self, kind: str, shape: Sequence[int]) -> int:
        """A constant for each channel."""
        scale, zero = INPUT_SCALE if kind in SAME_SCALE else (0.03, -9)
        values = self.rng.integers(-128, 128, shape, dtype=np.int8)
        return self.constant(f"constant{len(self.tensors)}", values, scale=scale, zero=zero)

    def combine(self, kind: str, inputs: Sequence[int], fused: int = 0) -> int:
        """An operator of the shape of the input."""
        scale = INPUT_SCALE if kind in SAME_SCALE else OWN_SCALE
        name = f"model/{kind.lower()}{len(self.operators)}/{kind}"
        result = self.tensor(name, self.tensors[0].shape, *scale)
        if kind in ("ADD", "SUB", "MUL"):
            options = f"{kind.title()}Options"
            self.operator(kind, inputs, [result], options, FusedActivationFunction=fused)
        else:
            self.operator(kind, inputs, [result])
        return result


@pytest.mark.parametrize("shape", [IMAGE, VECTOR])
def test_constants_of_channels(shape: tuple[int, ...], tmp_path: Path) -> None:
    """All are equal to the kernels; what rises is an average pool of one pixel."""
    file = Sums(shape)
    for kind in ("ADD", "SUB", "MUL", "PRELU", "MAXIMUM", "MINIMUM"):
        constant = file.channels(
            kind, shape[-1:] if kind != "MUL" else (*[1] * (len(shape) - 1), 5)
        )
        file.outputs.append(file.combine(kind, [0, constant], RELU))
        if kind != "PRELU":
            file.outputs.append(file.combine(kind, [constant, 0]))
    imported = import_tflite(file.write(tmp_path / "m.tflite"))
    kinds = [type(layer) for layer in imported.network.layers]
    rises, falls = (AvgPool2d, Conv2d) if shape == IMAGE else (Linear, Linear)
    assert kinds[:4] == [rises, rises, rises, falls]
    assert imported.agreement is not None and imported.agreement.layers == 11


def test_real_products_and_sums_of_channels(tmp_path: Path) -> None:
    """A batch norm between a dequantizer and a quantizer is one layer."""
    file = Sums(IMAGE)
    reals = [file.tensor(name, IMAGE, dtype="float32") for name in ("real", "scaled", "moved")]
    factors, shifts = (
        file.constant(name, file.rng.normal(0, 1, 5).astype(np.float32)) for name in "ab"
    )
    file.operator("DEQUANTIZE", [0], reals[:1])
    file.operator("MUL", [reals[0], factors], [reals[1]], "MulOptions")
    file.operator("ADD", [reals[1], shifts], [reals[2]], "AddOptions")
    file.outputs = [file.tensor("output", IMAGE, *OWN_SCALE)]
    file.operator("QUANTIZE", [reals[2]], file.outputs)
    (layer,) = import_tflite(file.write(tmp_path / "m.tflite")).network.layers
    assert isinstance(layer, Conv2d)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"])
def test_two_tensors(kind: str, tmp_path: Path) -> None:
    """Of one shape, and a value for each channel or pixel, on either side."""
    file = Sums(IMAGE)
    scale = INPUT_SCALE if kind in SAME_SCALE else (0.043, 11)
    gates = [file.tensor(f"gate{k}", s, *scale) for k, s in enumerate([(1, 1, 1, 5), (1, 3, 4, 1)])]
    other = file.tensor("other", IMAGE, *scale)
    slopes = file.channels("PRELU", (5,))
    file.operator("PRELU", [0, slopes], [other])
    axes = file.constant("axes", np.array([1, 2], np.int32))
    file.operator("REDUCE_MAX", [other, axes], gates[:1], "ReducerOptions", KeepDims=1)
    begin, size = (
        file.constant(f"part{k}", np.array(values, np.int32))
        for k, values in enumerate([(0, 0, 0, 2), (1, 3, 4, 1)])
    )
    file.operator("SLICE", [other, begin, size], gates[1:])
    file.outputs = [file.combine(kind, pair) for pair in [(0, other), (0, gates[0]), (gates[1], 0)]]
    import_tflite(file.write(tmp_path / "m.tflite"))


def test_constants_of_other_shapes_are_refused(tmp_path: Path) -> None:
    file = Sums(IMAGE)
    file.outputs = [file.combine("ADD", [0, file.channels("ADD", (1, 1, 4, 1))])]
    with pytest.raises(TfliteError, match=r"constants of shape \(1, 1, 4, 1\); one number, or one"):
        import_tflite(file.write(tmp_path / "m.tflite"))


@pytest.mark.parametrize("zero", [-128, -3, 90])
def test_fitted_requantizations_equal_the_function(zero: int) -> None:
    """Lines with ties away from zero, two slopes, and steps that no line has."""
    act = ActType(bits=8, signed=True, zero_point=zero)
    accs = np.arange(-200, 56)[:, None]
    ties = np.sign(accs) * ((np.abs(accs) + 1) // 2)
    slopes = np.where(accs < 0, (1 - accs) // 3, accs)
    steps = np.where(accs < -50, -9, np.where(accs < 20, 0, 30))
    for column in (ties, ties // 7 + 5, slopes):
        values = np.clip(column + zero, act.low, act.high)
        spec = fit_scaling(accs, values, act)
        assert spec is not None
        assert np.array_equal(requantize(accs, spec, act), values)
    values = np.clip(steps + zero, act.low, act.high)
    counted = fit_thresholds(accs, values, act)
    assert counted is not None
    assert np.array_equal(requantize(accs, counted, act), values)
    wave = np.clip(np.where(accs % 20 < 10, 5, -5) + zero, act.low, act.high)
    assert fit_scaling(accs, wave, act) is None and fit_thresholds(accs, wave, act) is None


@pytest.mark.parametrize("shape", [IMAGE, VECTOR])
@pytest.mark.parametrize("scale", [0.043, 0.0031])
def test_slopes_that_are_rounded_twice(
    shape: tuple[int, ...], scale: float, tmp_path: Path
) -> None:
    """No two lines have all steps of these functions: they are sums of two functions."""
    file = Sums(shape)
    values = file.rng.integers(-128, 128, 5, dtype=np.int8)
    slopes = file.constant("slopes", values, scale=0.03, zero=-9)
    file.outputs = [file.tensor("output", shape, scale, 11)]
    file.operator("PRELU", [0, slopes], file.outputs)
    import_tflite(file.write(tmp_path / "m.tflite"))


def test_a_difference_is_an_addition_of_the_negative(tmp_path: Path) -> None:
    file = Sums(IMAGE)
    other = file.combine("PRELU", [0, file.channels("PRELU", (5,))])
    file.outputs = [file.combine("SUB", [0, other])]
    layers = import_tflite(file.write(tmp_path / "m.tflite")).network.layers
    assert isinstance(layers[-1], Add) and layers[-1].inputs[1] == layers[-2].name
