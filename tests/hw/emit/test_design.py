"""Streams on disk and in transfers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.emit import Design, StreamPort, load_design
from systolith.network import ActType, Tensor


@st.composite
def ports(draw: st.DrawFn) -> StreamPort:
    signed = draw(st.booleans())
    bits = draw(st.integers(2, 16))
    channels = draw(st.integers(1, 7))
    shape = draw(
        st.just((channels,)) | st.tuples(st.just(channels), st.integers(1, 4), st.integers(1, 4))
    )
    return StreamPort(
        layer="layer",
        tensor=Tensor(shape, ActType(bits=bits, signed=signed)),
        lanes=draw(st.integers(1, 9)),
        signal="layer",
    )


@given(ports(), st.integers(1, 3), st.integers(0, 99))
def test_images_survive_packing(port: StreamPort, count: int, seed: int) -> None:
    act = port.tensor.type
    images = np.random.default_rng(seed).integers(
        act.low, act.high + 1, (count, *port.tensor.shape)
    )
    words = port.pack(port.to_transfers(images))
    assert len(words) == count * port.transfers_per_frame
    assert all(0 <= word < 1 << port.width for word in words)
    assert np.array_equal(port.from_transfers(port.unpack(words)), images)


def test_channels_are_innermost_and_lane_0_is_lowest() -> None:
    tensor = Tensor((3, 1, 2), ActType(bits=4, signed=False))
    port = StreamPort(layer="x", tensor=tensor, lanes=2, signal="x")
    images = np.array([[[[1, 4]], [[2, 5]], [[3, 6]]]])
    assert port.to_transfers(images).tolist() == [[1, 2], [3, 0], [4, 5], [6, 0]]
    assert port.pack(port.to_transfers(images)) == [0x21, 0x03, 0x54, 0x06]


def test_a_flattened_image_travels_like_the_image() -> None:
    tensor = Tensor((3, 2, 2), ActType(bits=4, signed=False))
    port = StreamPort(layer="x", tensor=tensor, lanes=2, signal="x")
    flat = replace(port, tensor=Tensor((12,), tensor.type), flattened=(3, 2, 2))
    images = np.arange(24).reshape(2, 3, 2, 2) % 16
    transfers = port.to_transfers(images)
    assert np.array_equal(flat.to_transfers(images.reshape(2, 12)), transfers)
    assert np.array_equal(flat.from_transfers(transfers), images.reshape(2, 12))


def test_the_output_is_there_if_it_is_the_only_one() -> None:
    port = StreamPort(
        layer="x", tensor=Tensor((1,), ActType(bits=4, signed=True)), lanes=1, signal="o"
    )
    assert Design(top="t", sources=(), input=port, outputs=(port,)).output is port
    design = Design(top="t", sources=(), input=port, outputs=(port, replace(port, layer="y")))
    with pytest.raises(ValueError, match=r"^'t' has 2 outputs: x, y$"):
        assert design.output


def test_a_design_is_read_as_it_was_written(tmp_path: Path) -> None:
    port = StreamPort(
        layer="conv.1",
        tensor=Tensor((3, 4, 5), ActType(bits=7, signed=True, zero_point=-3)),
        lanes=3,
        signal="conv_1",
    )
    flat = replace(port, tensor=Tensor((60,), port.tensor.type), flattened=(3, 4, 5))
    (tmp_path / "top.v").write_text("module top; endmodule\n")
    design = Design(
        top="top", sources=(tmp_path / "top.v",), input=port, outputs=(port, flat), probes=(port,),
        network_hash="abc",
    )  # fmt: skip
    design.save(tmp_path / "design.json")
    assert load_design(tmp_path / "design.json") == design
    assert str(tmp_path) not in (tmp_path / "design.json").read_text()
