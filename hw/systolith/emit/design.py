"""Description of a generated design for simulators and programs: files, top module, streams."""

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
    """One stream of the top module, and the order of a tensor's elements on it.

    Pixels come in raster order, channels innermost, `lanes` channels per transfer: channel c of a
    pixel is lane ``c % lanes`` of the pixel's transfer ``c // lanes``. Lane 0 is in the least
    significant bits. Lanes beyond the last channel carry no meaning. A vector (features,) travels
    like an image (features, 1, 1), or like the image from which it was flattened.

    Parameters
    ----------
    layer : str
        Layer whose output the stream carries; ``"input"`` for the images.
    tensor : Tensor
        Shape and type of one frame.
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
        """Shape (C, H, W) of one frame; H and W are 1 for a vector that was no image."""
        if self.flattened is not None:
            return self.flattened
        channels, *size = self.tensor.shape
        height, width = size or (1, 1)
        return channels, height, width

    @property
    def transfers_per_frame(self) -> int:
        """Transfers per frame."""
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
        """Undo :meth:`to_transfers`; the transfers must be those of whole frames."""
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
        Ports of the top module, in the order of the network's outputs. Each needs a consumer that
        does not wait for the others.
    probes : tuple of StreamPort
        Streams between layers, in the order of the data flow: wires inside the top module. A layer
        with an output has no probe.
    network_hash : str
        Content hash of the network, weights included.
    circuit_hash : str
        Hash of the Verilog without the contents of memories. Networks that differ only in weights
        have equal hashes. A load fits every design with this hash.
    load_size : int
        Bytes of ``load.bin`` beside the sources; 0 if the design is not reloadable.
    scales : dict
        Scales of input and outputs, as :meth:`systolith.emit.Meaning.to_json` returns them; empty
        if unknown.
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
        """Write a JSON description, which names the sources relative to itself."""
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
    """Read a description that :meth:`Design.save` wrote."""
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
