"""Narrower multipliers: the greatest difference of each layer, found over all accumulators."""

from pathlib import Path

import numpy as np
import pytest

from systolith.network import Add, AvgPool2d, Conv2d, Linear, requantize, trace
from systolith.tflite import TfliteError, import_tflite
from tests.support.real_data import real_tflite
from tests.support.tflite_files import TfliteFile

FILES = ("kws_ref_model", "pretrainedResnet_quant")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bits", [12, 16])
def test_no_value_differs_by_more_than_the_bound(name: str, bits: int) -> None:
    exact = import_tflite(real_tflite(name), check=False)
    narrow = import_tflite(real_tflite(name), check=False, multiplier_bits=bits)
    assert set(narrow.units.values()) <= {0, 1}
    images = np.random.default_rng(1).integers(-128, 128, (4, *exact.input_shape))
    inputs = exact.arrange_input(images)
    values = trace(exact.network, inputs)
    for layer in narrow.network.layers:
        if not isinstance(layer, Conv2d | Linear | Add | AvgPool2d):
            continue
        assert int(layer.requantize.multiplier.max()).bit_length() <= bits
        if isinstance(layer, Add):
            assert max(layer.multipliers).bit_length() <= bits
        given = [inputs if source == "input" else values[source] for source in layer.inputs]
        tensors = [narrow.network.tensors[source] for source in layer.inputs]
        found = requantize(layer.accumulate(given, tensors), layer.requantize, layer.output)
        most = np.abs(found - values[layer.name]).max()
        assert most <= narrow.units.get(layer.name, 0), layer.name


def test_the_bound_holds_for_every_input_of_a_small_layer(tmp_path: Path) -> None:
    file = TfliteFile()
    file.inputs = [file.tensor("input", (1, 1), 0.1)]
    weight = file.constant("model/dense/MatMul", np.array([[127]], dtype=np.int8), scale=0.0103)
    file.outputs = [file.tensor("model/dense/BiasAdd", (1, 1), 0.11)]
    file.operator("FULLY_CONNECTED", [0, weight], file.outputs, "FullyConnectedOptions")
    path = file.write(tmp_path / "m.tflite")
    exact = import_tflite(path, check=False)
    images = np.arange(-128, 128).reshape(-1, 1)
    for bits in (8, 9, 10, 12, 17):
        narrow = import_tflite(path, check=False, multiplier_bits=bits)
        first, second = (trace(one.network, images)["dense"] for one in (exact, narrow))
        (bound,) = narrow.units.values()
        reached = int(np.abs(first - second).max())
        assert reached <= bound <= 1


def test_31_bits_change_nothing() -> None:
    path = real_tflite("ad01_int8")
    first, second = (
        import_tflite(path, check=False),
        import_tflite(path, check=False, multiplier_bits=MOST_BITS),
    )
    assert first.units == second.units == {}
    for one, other in zip(first.network.layers, second.network.layers, strict=True):
        if isinstance(one, Linear) and isinstance(other, Linear):
            assert one.requantize.multiplier.tolist() == other.requantize.multiplier.tolist()


MOST_BITS = 31


@pytest.mark.parametrize("bits", [7, 32])
def test_other_widths_are_refused(bits: int, tmp_path: Path) -> None:
    with pytest.raises(TfliteError, match=rf"^multiplier_bits must lie in 8\.\.31, got {bits}$"):
        import_tflite(tmp_path / "m.tflite", multiplier_bits=bits)
