"""Integer networks as ONNX: other tools compute the same, and so does what comes back."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from systolith.exchange import ExchangeError, Format, export_model, export_onnx, import_onnx
from systolith.exchange.export.float_sums import has_whole_factors
from systolith.exchange.export.scales import choose_scales
from systolith.exchange.values.layouts import file_order
from systolith.network import (
    ActType,
    Add,
    ArgMax,
    AvgPool2d,
    Conv2d,
    DepthToSpace,
    IntArray,
    IntegerNetwork,
    KOutOfN,
    Linear,
    Overflow,
    Pattern,
    Requantize,
    Requantized,
    Rounding,
    SelectChannels,
    SpaceToDepth,
    Table,
    Tensor,
    forward,
    gives_class,
)
from tests.support.onnx_graphs import run_qonnx, run_runtime
from tests.support.random_networks import random_images, random_network

RUNNERS: dict[Format, Callable[[Path, NDArray[np.float32]], NDArray[np.float32]]] = {
    Format.QONNX: run_qonnx,
    Format.QDQ: run_runtime,
}


def _held_by_floats(network: IntegerNetwork) -> bool:
    """Whether results are equal, if the export does not refuse them."""
    layers = [layer for layer in network.layers if isinstance(layer, Requantized)]
    return len(network.outputs) == 1 and all(has_whole_factors(network, layer) for layer in layers)


def _drawn(count: int) -> list[int]:
    """Seeds of networks that floats can hold."""
    found: list[int] = []
    seed = 0
    while len(found) < count:
        network = random_network(seed)
        seed += 1
        if all(isinstance(layer, SelectChannels | ArgMax) for layer in network.layers):
            continue  # all channels in their order, and a class, come back as no layer
        ordered = any(isinstance(layer, DepthToSpace | SpaceToDepth) for layer in network.layers)
        if ordered and gives_class(network, network.outputs[0]):
            continue  # a class of unequal blocks is not read on the chip
        if _held_by_floats(network) and _exportable(network):
            found.append(seed - 1)
    return found


def _exportable(network: IntegerNetwork) -> bool:
    try:
        export_model(network, Format.QONNX)
    except ExchangeError as error:
        reasons = ("wraps", "ties to even", "as TFLite does", "classes")
        reasons += ("float32",)
        assert all(any(reason in each for reason in reasons) for each in error.problems)
        return False
    return True


def _integers(network: IntegerNetwork, real: NDArray[np.float32]) -> IntArray:
    (name,) = network.outputs
    scale = float(choose_scales(network)[name])
    return np.rint(real / scale).astype(np.int64) + network.tensors[name].type.zero_point


@pytest.mark.parametrize("form", list(Format))
def test_offsets_without_a_shift_are_no_ties(form: Format, tmp_path: Path) -> None:
    """Signs: ``clamp(2 * acc + 1, -1, 1)`` has one offset that is right, and halves are not."""
    sign = Requantize(
        multiplier=np.array([2]), shift=np.array([0]), offset=np.array([1]), clamp=(-1, 1)
    )
    layer = Linear(
        name="fc",
        input="input",
        weight=np.array([[1], [-1]]),
        bias=np.array([0, 3]),
        requantize=sign,
        output=ActType(bits=2, signed=True),
        weight_bits=2,
    )
    network = IntegerNetwork(input=Tensor((1,), ActType(bits=4, signed=True)), layers=(layer,))
    export_onnx(network, tmp_path / "signs.onnx", form)
    integers = np.arange(-8, 8)[:, None]
    (wanted,) = forward(network, integers).values()
    images = integers.astype(np.float32)
    assert np.array_equal(
        _integers(network, RUNNERS[form](tmp_path / "signs.onnx", images)), wanted
    )


@pytest.mark.parametrize("seed", _drawn(20))
@pytest.mark.parametrize("form", list(Format))
def test_other_tools_compute_the_same(form: Format, seed: int, tmp_path: Path) -> None:
    network, path = random_network(seed), tmp_path / "model.onnx"
    export_onnx(network, path, form)
    integers = random_images(network, 5, seed)
    images = (integers - network.input.type.zero_point).astype(np.float32)
    (wanted,) = forward(network, integers).values()
    real = RUNNERS[form](path, images)
    assert np.array_equal(_integers(network, real), wanted)
    counts = any(isinstance(x, Requantized) and x.requantize.levels for x in network.layers)
    if counts and form is Format.QDQ:
        return  # comparisons are not read
    ends = gives_class(network, network.outputs[0])
    back = import_onnx(path, class_on_chip=ends)
    assert np.array_equal(back.quantize_input(images), integers)
    ((name, found),) = forward(back.network, integers).items()
    if counts and not ends:
        assert np.array_equal(back.real({name: found})[name], real)
        return  # counts begin at 0
    # Blocks of unequal sides at the end are an order of the result.
    assert np.array_equal(file_order(found, back.orders.get(name)), wanted)


@pytest.mark.parametrize("form", list(Format))
def test_a_table_of_few_places_behind_another(form: Format, tmp_path: Path) -> None:
    few, values = ActType(bits=3, signed=True), np.array([3, -4, 1, 0, -1, 2, -2, 3])
    first = Table(name="first", input="input", values=values, output=few)
    last = Table(name="last", input="first", values=values[::-1].copy(), output=few)
    network = IntegerNetwork(input=Tensor((8,), few), layers=(first, last))
    export_onnx(network, tmp_path / "tables.onnx", form)
    integers = np.arange(-4, 4)[None]
    (wanted,) = forward(network, integers).values()
    found = import_onnx(tmp_path / "tables.onnx")
    assert found.agreement is not None and found.agreement.equal
    (back,) = forward(found.network, integers).values()
    assert np.array_equal(back, wanted)


def _conv(spec: Requantize, zero_point: int = 0) -> IntegerNetwork:
    rng = np.random.default_rng(0)
    pattern = Pattern(select=KOutOfN(2, 4))
    mask = pattern.best_mask(rng.random((4, 8, 3, 3)))
    return IntegerNetwork(
        input=Tensor((8, 6, 6), ActType(bits=8, signed=True, zero_point=3)),
        layers=(
            Conv2d(
                name="conv",
                input="input",
                weight=rng.integers(-128, 128, (4, 8, 3, 3)) * mask,
                bias=rng.integers(-1000, 1000, 4),
                requantize=spec,
                output=ActType(bits=8, signed=True, zero_point=zero_point),
                padding=(1, 1, 1, 1),
                pattern=pattern,
                mask=mask,
            ),
        ),
    )


@pytest.mark.parametrize("form", list(Format))
def test_two_roundings_are_refused(form: Format) -> None:
    spec = Requantize(
        multiplier=np.array([(1 << 31) - 1]), shift=np.array([38]), rounding=Rounding.TFLITE
    )
    with pytest.raises(ExchangeError) as error:
        export_model(_conv(spec), form)
    twice, wide = error.value.problems
    assert "rounds twice, as TFLite does; ONNX's quantizers round once" in twice
    assert "has multipliers of 31 significant bits; ONNX's scales have 24" in wide


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("rounding", [Rounding.HALF_UP, Rounding.FLOOR, Rounding.HALF_EVEN])
def test_each_rounding_at_its_ties(rounding: Rounding, form: Format, tmp_path: Path) -> None:
    network = IntegerNetwork(
        input=Tensor((1, 1, 32), ActType(bits=5, signed=True)),
        layers=(
            Conv2d(
                name="conv",
                input="input",
                weight=np.ones((1, 1, 1, 1), dtype=np.int64),
                bias=np.array([3]),
                requantize=Requantize(
                    multiplier=np.array([1]), shift=np.array([2]), rounding=rounding
                ),
                output=ActType(bits=4, signed=True),
            ),
        ),
    )
    integers = np.arange(-16, 16).reshape(1, 1, 1, 32)
    path = tmp_path / "ties.onnx"
    export_onnx(network, path, form)
    (wanted,) = forward(network, integers).values()
    images = integers.astype(np.float32)
    assert np.array_equal(_integers(network, RUNNERS[form](path, images)), wanted)
    (back,) = forward(import_onnx(path).network, integers).values()
    assert np.array_equal(back, wanted)


@pytest.mark.parametrize("form", list(Format))
def test_real_multipliers_are_off_by_one_at_most(form: Format, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    spec = Requantize(multiplier=rng.integers(30000, 1 << 16, 4), shift=np.array([26]))
    network, path = _conv(spec), tmp_path / "real.onnx"
    export_onnx(network, path, form, input_scale=0.037)
    integers = rng.integers(-128, 128, (20, 8, 6, 6))
    images = ((integers - 3) * np.float32(0.037)).astype(np.float32)
    (wanted,) = forward(network, integers).values()
    found = _integers(network, RUNNERS[form](path, images))
    assert np.abs(found - wanted).max() <= 1 and np.mean(found != wanted) < 1e-3
    back = import_onnx(path)
    assert np.array_equal(back.quantize_input(images), integers)
    (again,) = forward(back.network, integers).values()
    assert np.abs(again - wanted).max() <= 1 and np.mean(again != wanted) < 1e-2


def test_sidecar_names_patterns_and_the_import_finds_them(tmp_path: Path) -> None:
    network = _conv(Requantize(multiplier=np.array([1]), shift=np.array([9])))
    export_onnx(network, tmp_path / "model.onnx", Format.QDQ)
    found = json.loads((tmp_path / "model.patterns.json").read_text())["layers"]["conv"]
    assert (found["pattern"], found["k"], found["n"], found["axis"]) == ("2-out-of-4", 2, 4, 1)
    layer = network.layers[0]
    assert isinstance(layer, Conv2d) and layer.mask is not None
    for kept, mask in zip(found["indices"], layer.mask, strict=True):
        assert np.array_equal(np.flatnonzero(mask), kept)
    back = import_onnx(tmp_path / "model.onnx").network.layers[0]
    assert isinstance(back, Conv2d) and back.pattern == layer.pattern
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("form", list(Format))
def test_files_are_valid_onnx(form: Format, tmp_path: Path) -> None:
    network = _conv(Requantize(multiplier=np.array([1]), shift=np.array([9])))
    model = export_onnx(network, tmp_path / "model.onnx", form)
    onnx.checker.check_model(model, full_check=form is Format.QDQ)


def test_wrapping_is_refused(tmp_path: Path) -> None:
    spec = Requantize(multiplier=np.array([1]), shift=np.array([0]), overflow=Overflow.WRAP)
    with pytest.raises(ExchangeError, match="'conv': wraps where it overflows"):
        export_onnx(_conv(spec), tmp_path / "model.onnx", Format.QDQ)
    assert not list(tmp_path.iterdir())


def test_odd_zero_points_are_refused_where_they_move_ties(tmp_path: Path) -> None:
    spec = Requantize(multiplier=np.array([1]), shift=np.array([9]), rounding=Rounding.HALF_EVEN)
    export_onnx(_conv(spec, zero_point=5), tmp_path / "model.onnx", Format.QDQ)
    with pytest.raises(ExchangeError, match="zero point 5"):
        export_onnx(_conv(spec, zero_point=5), tmp_path / "model.onnx", Format.QONNX)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_input_scale_must_be_positive(scale: float, tmp_path: Path) -> None:
    network = _conv(Requantize(multiplier=np.array([1]), shift=np.array([9])))
    with pytest.raises(ExchangeError, match="input_scale must be a positive number"):
        export_onnx(network, tmp_path / "model.onnx", Format.QDQ, input_scale=scale)


def _with_offsets(rounding: Rounding) -> IntegerNetwork:
    """Each kind of layer that has a requantizer, one channel without a multiplier among them."""
    act = ActType(bits=5, signed=True, zero_point=2)

    def spec(multiplier: list[int], shift: int, offset: list[int]) -> Requantize:
        return Requantize(
            multiplier=np.array(multiplier),
            shift=np.array([shift]),
            offset=np.array(offset),
            rounding=rounding,
        )

    return IntegerNetwork(
        input=Tensor((2, 4, 4), ActType(bits=5, signed=True)),
        layers=(
            Conv2d(
                name="conv",
                input="input",
                weight=np.array([[1, 1], [-1, 2], [3, 0]]).reshape(3, 2, 1, 1),
                bias=np.array([0, 3, 1]),
                requantize=spec([11, 5, 0], 5, [3, -77, 60]),
                output=act,
            ),
            AvgPool2d(
                name="mean",
                input="conv",
                kernel_size=(2, 2),
                stride=(1, 1),
                requantize=spec([1 << 6], 8, [9, -17, 33]),
                output=act,
            ),
            Add(
                name="sum",
                inputs=("mean", "mean"),
                multipliers=(1, 1),
                requantize=spec([3], 3, [1]),
                output=act,
            ),
        ),
    )


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("rounding", [Rounding.HALF_UP, Rounding.FLOOR])
def test_offsets_are_constants_that_are_added(
    rounding: Rounding, form: Format, tmp_path: Path
) -> None:
    network, path = _with_offsets(rounding), tmp_path / "moved.onnx"
    export_onnx(network, path, form, input_scale=0.25)
    # QONNX's executor takes 30 ms an image.
    integers = random_images(network, 400 if form is Format.QDQ else 100, 0)
    images = integers.astype(np.float32) * np.float32(0.25)
    (wanted,) = forward(network, integers).values()
    plain = [
        replace(layer, requantize=replace(layer.requantize, offset=None))
        for layer in network.layers
        if isinstance(layer, Conv2d | AvgPool2d | Add)
    ]
    (without,) = forward(replace(network, layers=tuple(plain)), integers).values()
    assert np.mean(without != wanted) > 0.1
    scale = float(choose_scales(network, 0.25)["sum"])
    found = np.rint(RUNNERS[form](path, images) / scale).astype(np.int64) + 2
    assert np.array_equal(found, wanted)
    back = import_onnx(path)
    (again,) = forward(back.network, integers).values()
    assert np.array_equal(again, wanted)
