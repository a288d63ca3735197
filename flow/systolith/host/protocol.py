"""Encode and decode packets; :mod:`systolith.gateware.board.packets` defines their layout."""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.gateware.board import AnswerStatus, RequestKind
from systolith.gateware.board.config import HAS_CLASS, IS_SIGNED, VALUE_BYTES
from systolith.gateware.board.packets import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    SYNC,
    VERSION,
)

__all__ = ["Answer", "BoardError", "Identity", "OutputFormat", "decode", "encode"]

HEADER = struct.Struct("<BBBBH")
CHECKSUM = struct.Struct("<I")
IDENTITY = struct.Struct("<8sIH")
FORMAT = struct.Struct("<IB")


class BoardError(RuntimeError):
    """A board does not answer, answers damaged packets, or is not the expected one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of a board.

    Attributes
    ----------
    status : AnswerStatus
    sequence : int
        Sequence number of the request, 0..255.
    payload : bytes
        Empty unless the status is OK.
    """

    status: AnswerStatus
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFormat:
    """How an answer holds one output.

    Attributes
    ----------
    values : int
        Number of values: those of a vector, or of a feature map, pixel by pixel.
    value_bytes : int
        1, 2 or 4.
    signed, has_class : bool
        Whether values are signed, and whether the class follows them.
    """

    values: int
    value_bytes: int
    signed: bool
    has_class: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """Layout of the output in an answer: its values, and its class if it has one."""
        value = f"<{'i' if self.signed else 'u'}{self.value_bytes}"
        fields: list[Any] = [("values", value, (self.values,))]
        return np.dtype([*fields, ("class", "<u2")] if self.has_class else fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Identity of the network on a board.

    Attributes
    ----------
    network : bytes
        First 8 bytes of the network's content hash.
    image_bytes : int
        Bytes of an image.
    outputs : tuple of OutputFormat
        In the network's order.
    """

    network: bytes
    image_bytes: int
    outputs: tuple[OutputFormat, ...]

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Identity":
        """Decode the answer to IDENTIFY; ValueError if its length is wrong."""
        if len(payload) < IDENTITY.size:
            raise ValueError(f"an identity has at least {IDENTITY.size} bytes, got {len(payload)}")
        network, image_bytes, count = IDENTITY.unpack_from(payload)
        size = IDENTITY.size + count * FORMAT.size
        if len(payload) != size:
            raise ValueError(f"an identity of {count} outputs has {size} bytes: {len(payload)}")
        outputs = tuple(
            OutputFormat(
                values=values,
                value_bytes=described & ~(HAS_CLASS | IS_SIGNED),
                signed=bool(described & IS_SIGNED),
                has_class=bool(described & HAS_CLASS),
            )
            for values, described in FORMAT.iter_unpack(payload[IDENTITY.size :])
        )
        if any(output.value_bytes not in VALUE_BYTES for output in outputs):
            raise ValueError("an output has values of 1, 2 or 4 bytes")
        return cls(network=network, image_bytes=image_bytes, outputs=outputs)


def encode(kind: RequestKind, sequence: int, payload: bytes = b"") -> bytes:
    """Encode a request."""
    body = HEADER.pack(SYNC, VERSION, kind, sequence, len(payload)) + payload
    return body + CHECKSUM.pack(zlib.crc32(body[1:]))


def decode(received: bytes) -> tuple[Answer | None, bytes]:
    """Decode the first complete answer.

    Returns
    -------
    answer, rest : Answer or None, bytes
        The answer, or None if none is complete, and the bytes after it. Bytes that cannot belong
        to an answer are dropped.
    """
    while (start := received.find(bytes([SYNC]))) >= 0:
        received = received[start:]
        if len(received) < HEADER_BYTES:
            return None, received
        _, version, status, sequence, length = HEADER.unpack_from(received)
        end = HEADER_BYTES + length + CHECKSUM_BYTES
        plausible = version == VERSION and status in set(AnswerStatus)
        if plausible and len(received) < end:
            return None, received
        body, checksum = received[1 : end - CHECKSUM_BYTES], received[end - CHECKSUM_BYTES : end]
        if plausible and CHECKSUM.pack(zlib.crc32(body)) == checksum:
            payload = received[HEADER_BYTES : end - CHECKSUM_BYTES]
            answer = Answer(status=AnswerStatus(status), sequence=sequence, payload=payload)
            return answer, received[end:]
        received = received[1:]
    return None, b""
