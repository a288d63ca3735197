"""Additions of activations whose scales are no simple ratio."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import ImportedModel, import_onnx
from systolith.network import Add, IntArray, apply_layer
from tests.support.onnx_graphs import GraphBuilder


def _addition(
    scales: tuple[float, float], out: float, bits: int, path: Path, shift: float = 0.0
) -> ImportedModel:
    """Two channels of an image, each in steps of its own, added."""
    made = GraphBuilder((2, 1, 1))
    x = made.quant("x", 1.0, 0, bits)
    parts = []
    for channel, scale in enumerate(scales):
        chosen = np.eye(2)[channel].reshape(1, 2, 1, 1)
        weight = made.quant(made.const(chosen * np.float32(scale)), np.float32(scale), 0, 2)
        parts.append(made.quant(made.node("Conv", x, weight), scale, 0, bits))
    y = made.node("Add", *parts)
    if shift:
        y = made.node("Add", y, made.const(shift))
    return import_onnx(made.save(path, made.quant(y, out, 0, bits)))


def _sums(imported: ImportedModel, pairs: IntArray) -> IntArray:
    layer = imported.network.layers[-1]
    assert isinstance(layer, Add)
    values = [pairs[:, place].reshape(-1, 1, 1, 1) for place in (0, 1)]
    return apply_layer(layer, values, imported.network.inputs_of(layer)).ravel()


def _right(scales: tuple[float, float], out: float, pairs: IntArray, bits: int) -> IntArray:
    a, b, unit = (Fraction(float(np.float32(each))) for each in (*scales, out))
    limit = 1 << (bits - 1)
    rounded = (round((a * int(x) + b * int(y)) / unit) for x, y in pairs)
    return np.array([min(max(each, -limit), limit - 1) for each in rounded])


@pytest.mark.parametrize(
    ("scales", "out"),
    [
        ((0.005277400836348534, 0.010436401702463627), 0.0158),
        ((0.0317, 0.0901), 0.1),
        ((0.3, 0.1), 0.3),
        ((0.5, 0.25), 1.0),
        ((1.0, 1.0), 2.0),
        ((0.75, 0.01), 0.7),
    ],
)
def test_additions_of_few_bits_are_exact(
    scales: tuple[float, float], out: float, tmp_path: Path
) -> None:
    imported = _addition(scales, out, 6, tmp_path / "sum.onnx")
    pairs = np.array(list(product(range(-32, 32), repeat=2)))
    assert imported.exact
    assert np.array_equal(_sums(imported, pairs), _right(scales, out, pairs, 6))


def test_what_multipliers_of_16_bits_cannot_hold_counts_in_the_units(tmp_path: Path) -> None:
    scales, out = (0.000153001, 0.000407003), 0.000561
    imported = _addition(scales, out, 16, tmp_path / "sum.onnx")
    layer = imported.network.layers[-1]
    assert isinstance(layer, Add)
    a, b = (Fraction(float(np.float32(each))) for each in scales)
    p, q = layer.multipliers
    # The closest ratio: no other of 16 bits comes nearer.
    assert Fraction(p, q) == (a / b).limit_denominator((1 << 16) - 1)
    off = abs(a / b - Fraction(p, q)) * b * (1 << 15) / Fraction(float(np.float32(out)))
    units = imported.units[layer.name]
    assert not imported.exact and float(off) <= units < 1e-2
    rng = np.random.default_rng(0)
    pairs = rng.integers(-20000, 20000, (4000, 2))
    differ = _sums(imported, pairs) != _right(scales, out, pairs, 16)
    assert np.mean(differ) < 4 * units


def test_scales_too_far_apart_are_counted_too(tmp_path: Path) -> None:
    imported = _addition((1.0, 1e-7), 0.9, 16, tmp_path / "sum.onnx")
    layer = imported.network.layers[-1]
    assert isinstance(layer, Add)
    assert layer.multipliers == (65535, 1)
    assert imported.units[layer.name] > 0.1


def test_a_constant_may_be_added_to_a_sum(tmp_path: Path) -> None:
    scales = (0.0317, 0.0901)
    imported = _addition(scales, 0.1, 6, tmp_path / "sum.onnx", shift=0.337)
    layer = imported.network.layers[-1]
    assert isinstance(layer, Add) and layer.requantize.offset is not None
    assert imported.exact
    pairs = np.array(list(product(range(-32, 32), repeat=2)))
    a, b, unit, by = (Fraction(float(np.float32(each))) for each in (*scales, 0.1, 0.337))
    real = (round((a * int(x) + b * int(y) + by) / unit) for x, y in pairs)
    wanted = [min(max(each, -32), 31) for each in real]
    assert _sums(imported, pairs).tolist() == wanted
