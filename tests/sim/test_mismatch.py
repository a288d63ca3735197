"""The place of a wrong value is reported exactly; lanes without meaning are ignored."""

import numpy as np
import pytest

from systolith.emit import Design, StreamPort
from systolith.network import ActType, IntArray, Tensor
from systolith.verify import Mismatch, compare, first_mismatch

INT8 = ActType(bits=8, signed=True)
PORT = StreamPort(layer="conv2", tensor=Tensor((5, 3, 2), INT8), lanes=2, signal="conv2")
VECTOR = StreamPort(layer="fc", tensor=Tensor((10,), INT8), lanes=4, signal="fc")


def _images(port: StreamPort) -> IntArray:
    return np.random.default_rng(0).integers(-100, 100, (4, *port.tensor.shape))


def test_message_tells_layer_place_cycle_and_values() -> None:
    expected = np.full((4, 5, 3, 2), 17)
    got = PORT.to_transfers(expected)
    transfer = 3 * PORT.transfers_per_frame + (2 * 2 + 1) * 3 + 1
    got[transfer, 1] = 16
    mismatch = first_mismatch(PORT, got, expected, np.arange(len(got)) * 10)
    message = (
        f"layer 'conv2', image 3, channel 3, row 2, column 1, at cycle {transfer * 10}: "
        "expected 17, got 16"
    )
    assert str(mismatch) == message


@pytest.mark.parametrize("index", [(0, 0, 0, 0), (1, 4, 2, 1), (2, 3, 0, 1), (3, 2, 1, 0)])
def test_place_is_that_in_the_tensor(index: tuple[int, int, int, int]) -> None:
    expected = _images(PORT)
    outputs = expected.copy()
    outputs[index] ^= 1
    found = first_mismatch(PORT, PORT.to_transfers(outputs), expected)
    assert found is not None
    assert (found.image, found.channel, found.row, found.column) == index
    assert (found.expected, found.got) == (expected[index], outputs[index])
    assert found.wrong_values == 1 and found.cycle is None


def test_first_is_first_in_the_order_of_transfer() -> None:
    expected = _images(PORT)
    outputs = expected.copy()
    outputs[1, 0, 2, 0] ^= 1  # a later pixel, an earlier channel
    outputs[1, 4, 0, 0] ^= 1
    found = first_mismatch(PORT, PORT.to_transfers(outputs), expected)
    assert found is not None
    assert (found.channel, found.row, found.wrong_values) == (4, 0, 2)


def test_vectors_have_no_rows() -> None:
    expected = _images(VECTOR)
    outputs = expected.copy()
    outputs[2, 9] = 127
    message = f"layer 'fc', image 2, channel 9: expected {expected[2, 9]}, got 127"
    assert str(first_mismatch(VECTOR, VECTOR.to_transfers(outputs), expected)) == message


@pytest.mark.parametrize("port", [PORT, VECTOR], ids=["image", "vector"])
def test_lanes_beyond_the_last_channel_do_not_count(port: StreamPort) -> None:
    expected = _images(port)
    got = port.to_transfers(expected)
    per_pixel = -(-port.image_shape[0] // port.lanes)
    got[per_pixel - 1 :: per_pixel, port.image_shape[0] % port.lanes :] = 99
    assert first_mismatch(port, got, expected) is None


def test_early_end_and_extra_transfers_are_not_values() -> None:
    expected = _images(PORT)
    got = PORT.to_transfers(expected)
    assert first_mismatch(PORT, got[:7], expected) is None
    assert first_mismatch(PORT, got[:0], expected) is None
    assert first_mismatch(PORT, np.concatenate([got, got]), expected) is None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({}, r"^the reference lacks layer 'fc', whose stream is to be compared$"),
        (
            {"fc": np.zeros((3, 10), dtype=int)},
            r"^layer 'fc': the reference must have shape \(4, 10\), got \(3, 10\)$",
        ),
        ({"fc": np.zeros((4, 10))}, r"^layer 'fc': the reference must be integers, got float64$"),
    ],
)
def test_unfit_references_are_refused(reference: dict[str, IntArray], message: str) -> None:
    design = Design(top="t", sources=(), input=PORT, outputs=(VECTOR,))
    with pytest.raises(ValueError, match=message):
        compare(design, [_images(VECTOR)], reference)


def test_mismatch_is_a_value() -> None:
    fields = {"layer": "a", "image": 0, "channel": 0, "row": 0, "column": 0, "cycle": 0}
    first, second = (Mismatch(**fields, expected=1, got=0, wrong_values=1) for _ in range(2))
    assert first == second
