"""What a generated design is to those who simulate or place it: files, top module, streams."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from systolith.foundation import replacing
from systolith.network import ActType, IntArray, Tensor

__all__ = ["Design", "StreamPort", "load_design"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPort:
    """One stream of the top module, and how a tensor travels over it.

    Pixels come in raster order, channels innermost, `lanes` channels per transfer: channel c of a
    pixel is lane ``c % lanes`` of the pixel's transfer ``c // lanes``. Lane 0 is in the least
    significant bits. Lanes beyond the last channel carry no meaning. A vector (features,) travels
    like an image (features, 1, 1), or like the image that it was before it was flattened.

    Parameters
    ----------
    layer : str
        Whose output travels here; ``"input"`` for the images.
    tensor : Tensor
        Its shape and type.
    lanes : int
        Channels per transfer.
    signal : str
        The Verilog signals are ``{signal}__payload``, ``{signal}__valid``, ``{signal}__ready``.
    flattened : tuple of int, optional
        Shape (C, H, W) of the image that was flattened to this vector.
    """

    layer: str
    tensor: Tensor
    lanes: int
    signal: str
    flattened: tuple[int, int, int] | None = None

    @property
    def width(self) -> int:
        """Bits of the payload."""
        return self.lanes * self.tensor.type.bits

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of what travels; H and W are 1 for a vector that never was an image."""
        if self.flattened is not None:
            return self.flattened
        channels, *size = self.tensor.shape
        height, width = size or (1, 1)
        return channels, height, width

    @property
    def transfers_per_frame(self) -> int:
        """Transfers that one image takes."""
        channels, height, width = self.image_shape
        return height * width * ceil(channels / self.lanes)

    def to_transfers(self, images: IntArray) -> IntArray:
        """Cut images (N, C, H, W) or (N, features) into lane values (N * transfers, lanes)."""
        channels, height, width = self.image_shape
        per_pixel = ceil(channels / self.lanes)
        pixels = images.reshape(len(images), channels, height, width).transpose(0, 2, 3, 1)
        padded = np.zeros((len(images), height, width, per_pixel * self.lanes), dtype=np.int64)
        padded[..., :channels] = pixels
        return padded.reshape(-1, self.lanes)

    def from_transfers(self, values: IntArray) -> IntArray:
        """Undo :meth:`to_transfers`; the number of transfers must be that of whole frames."""
        channels, height, width = self.image_shape
        pixels = values.reshape(-1, height, width, ceil(channels / self.lanes) * self.lanes)
        images = pixels[..., :channels].transpose(0, 3, 1, 2)
        return images.reshape(-1, *self.tensor.shape)

    def pack(self, values: IntArray) -> list[int]:
        """Pack lane values (T, lanes) into one payload integer per transfer."""
        bits = self.tensor.type.bits
        mask = (1 << bits) - 1
        shifts = [lane * bits for lane in range(self.lanes)]
        return [
            sum((int(value) & mask) << shift for value, shift in zip(row, shifts, strict=True))
            for row in values
        ]

    def unpack(self, payloads: list[int]) -> IntArray:
        """Undo :meth:`pack`."""
        bits, act = self.tensor.type.bits, self.tensor.type
        mask = (1 << bits) - 1
        lanes = [[(word >> lane * bits) & mask for lane in range(self.lanes)] for word in payloads]
        values = np.array(lanes, dtype=np.int64).reshape(-1, self.lanes)
        return ((values - act.low) & mask) + act.low


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Generated Verilog with its streams.

    Besides the ports of `input` and `outputs`, the top module has ``clk`` and ``rst`` (synchronous,
    active high).

    Parameters
    ----------
    top : str
        Name of the top module.
    sources : tuple of Path
        Verilog files.
    input : StreamPort
        Port of the top module.
    outputs : tuple of StreamPort
        Ports of the top module, in the order of the network's outputs. Each must be taken whatever
        the others do.
    probes : tuple of StreamPort
        Streams between layers, in the order of the data flow; wires inside the top module. No layer
        has both a probe and an output.
    network_hash : str
        Content hash of the network that the design computes, weights included.
    circuit_hash : str
        Of the Verilog without the contents of memories, so without weights: networks that differ
        in nothing but weights have the same one. A load fits every design with this hash.
    load_size : int
        Bytes of a load, which is in ``load.bin`` beside the sources; 0 if the design takes none.
    scales : dict
        What the integers of input and outputs stand for, as :meth:`Meaning.to_json` gives it;
        empty if that is unknown.
    """

    top: str
    sources: tuple[Path, ...]
    input: StreamPort
    outputs: tuple[StreamPort, ...]
    probes: tuple[StreamPort, ...] = ()
    network_hash: str = ""
    circuit_hash: str = ""
    load_size: int = 0
    scales: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> StreamPort:
        """The only output; ValueError if there are several."""
        if len(self.outputs) != 1:
            layers = ", ".join(port.layer for port in self.outputs)
            raise ValueError(f"'{self.top}' has {len(self.outputs)} outputs: {layers}")
        return self.outputs[0]

    def save(self, path: Path) -> None:
        """Write a JSON description beside the sources, which are named relative to it."""
        description = {
            "top": self.top,
            "sources": [str(source.relative_to(path.parent)) for source in self.sources],
            "input": _encode(self.input),
            "outputs": [_encode(port) for port in self.outputs],
            "probes": [_encode(probe) for probe in self.probes],
            "network_hash": self.network_hash,
            "circuit_hash": self.circuit_hash,
            "load_size": self.load_size,
            "scales": dict(self.scales),
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(description, indent=1) + "\n")


def load_design(path: Path) -> Design:
    """Read what :meth:`Design.save` wrote."""
    description = json.loads(path.read_text())
    return Design(
        top=description["top"],
        sources=tuple(path.parent / source for source in description["sources"]),
        input=_decode(description["input"]),
        outputs=tuple(_decode(port) for port in description["outputs"]),
        probes=tuple(_decode(probe) for probe in description["probes"]),
        network_hash=description["network_hash"],
        circuit_hash=description["circuit_hash"],
        load_size=description["load_size"],
        scales=description.get("scales", {}),
    )


def _encode(port: StreamPort) -> dict[str, Any]:
    act = port.tensor.type
    return {
        "layer": port.layer,
        "shape": list(port.tensor.shape),
        "bits": act.bits,
        "signed": act.signed,
        "zero_point": act.zero_point,
        "lanes": port.lanes,
        "signal": port.signal,
        "flattened": port.flattened,
    }


def _decode(port: dict[str, Any]) -> StreamPort:
    act = ActType(bits=port["bits"], signed=port["signed"], zero_point=port["zero_point"])
    return StreamPort(
        layer=port["layer"],
        tensor=Tensor(tuple(port["shape"]), act),
        lanes=port["lanes"],
        signal=port["signal"],
        flattened=None if port["flattened"] is None else tuple(port["flattened"]),
    )
