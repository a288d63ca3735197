"""Rolling windows: every window's result from one tall image, each row computed once."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.network import (
    ActType,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Layer,
    Linear,
    MaxPool2d,
    NetworkError,
    Requantize,
    Tensor,
    forward,
    roll_network,
)
from systolith.tflite import import_tflite
from tests.support.real_data import real_tflite

ACT = ActType(bits=8, signed=True, zero_point=-3)
SCALE = Requantize(multiplier=np.array([3]), shift=np.array([8]))


def _conv(name: str, source: str, shape: tuple[int, ...], **fields: object) -> Conv2d:
    rng = np.random.default_rng(len(name) + shape[0])
    weight = rng.integers(-8, 8, shape)
    plain = Conv2d(
        name=name, input=source, weight=weight, bias=np.zeros(shape[0], dtype=np.int64),
        requantize=SCALE, output=ACT,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


def _network(stride: int, *, padded: bool = False, pooled: bool = False) -> IntegerNetwork:
    """Windows of 11 rows and 4 columns."""
    padding = (1, 1, 1, 1) if padded else (0, 0, 1, 1)
    layers: list[Layer] = [
        _conv("first", "input", (3, 2, 3, 3), stride=(stride, 1), padding=padding),
        MaxPool2d(name="most", input="first", kernel_size=(2, 2), stride=(1, 2)),
        _conv("second", "most", (4, 3, 2, 1)),
    ]
    if pooled:
        layers.append(AvgPool2d(name="mean", input="second", requantize=SCALE, output=ACT))
    source = layers[-1].name
    shape = IntegerNetwork(
        name="body", input=Tensor((2, 11, 4), ACT), layers=tuple(layers), outputs=(source,)
    ).tensors[source].shape  # fmt: skip
    rng = np.random.default_rng(9)
    dense = Linear(
        name="dense", input="flat", weight=rng.integers(-8, 8, (5, int(np.prod(shape)))),
        bias=np.arange(5), requantize=SCALE, output=ACT,
    )  # fmt: skip
    ends = (Flatten(name="flat", input=source), dense)
    return IntegerNetwork(
        name="net", input=Tensor((2, 11, 4), ACT), layers=(*layers, *ends), outputs=("dense",)
    )


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_rows_of_results_are_those_of_the_windows(stride: int, pooled: bool) -> None:
    network = _network(stride, pooled=pooled)
    rolled = roll_network(network, 30)
    assert (rolled.window, rolled.hop) == (11, stride)
    rows = np.random.default_rng(1).integers(-128, 128, (2, 2, 30, 4))
    found = forward(rolled.network, rows)["dense"]
    windows = (30 - 11) // stride + 1
    # One more window may fit if its last rows are not read.
    assert found.shape in [(2, 5, windows + more, 1) for more in (0, 1)]
    for place in range(windows):
        begin = place * stride
        wanted = forward(network, rows[:, :, begin : begin + 11])["dense"]
        assert np.array_equal(found[:, :, place, 0], wanted)


def test_the_streaming_wakeword_rolls() -> None:
    network = import_tflite(real_tflite("str_ww_ref_model"), check=False).network
    rolled = roll_network(network, 45)
    assert (rolled.window, rolled.hop) == (30, 1)
    rows = np.random.default_rng(2).integers(-128, 128, (1, 40, 45, 1))
    found = forward(rolled.network, rows)["dense"][0, :, :, 0]
    windows = np.concatenate([rows[:, :, begin : begin + 30] for begin in range(16)])
    assert np.array_equal(found.T, forward(network, windows)["dense"])


def test_padding_over_time_is_refused_by_name() -> None:
    with pytest.raises(NetworkError, match="^layer 'first': pads rows at the ends of the window"):
        roll_network(_network(1, padded=True), 30)
    with pytest.raises(NetworkError, match="^rows must be at least the window, 11, got 10"):
        roll_network(_network(1), 10)
