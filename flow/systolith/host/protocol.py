"""Packets as bytes; see :mod:`systolith.gateware.board.packets` for their layout."""

import struct
import zlib
from dataclasses import dataclass

from systolith.gateware.board import Kind, Status
from systolith.gateware.board.packets import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    SYNC,
    VERSION,
)

__all__ = ["Answer", "Identity", "decode", "encode"]

HEADER = struct.Struct("<BBBBH")
CHECKSUM = struct.Struct("<I")
IDENTITY = struct.Struct("<8sIH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a board said.

    Attributes
    ----------
    status : Status
    sequence : int
        Of the request, 0..255.
    payload : bytes
        Empty unless the status is OK.
    """

    status: Status
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a board computes.

    Attributes
    ----------
    network : bytes
        First 8 bytes of the network's content hash.
    image_bytes, outputs : int
        What it takes, and how many values it answers.
    """

    network: bytes
    image_bytes: int
    outputs: int

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Identity":
        """Read the answer to IDENTIFY; ValueError if it is no such."""
        if len(payload) != IDENTITY.size:
            raise ValueError(f"an identity has {IDENTITY.size} bytes, got {len(payload)}")
        network, image_bytes, outputs = IDENTITY.unpack(payload)
        return cls(network=network, image_bytes=image_bytes, outputs=outputs)


def encode(kind: Kind, sequence: int, payload: bytes = b"") -> bytes:
    """Make a request."""
    body = HEADER.pack(SYNC, VERSION, kind, sequence, len(payload)) + payload
    return body + CHECKSUM.pack(zlib.crc32(body[1:]))


def decode(received: bytes) -> tuple[Answer | None, bytes]:
    """Find the first whole answer.

    Returns
    -------
    answer, rest : Answer or None, bytes
        None if there is none yet; what is left to be looked at when more has come. Bytes that
        cannot belong to an answer are dropped.
    """
    while (start := received.find(bytes([SYNC]))) >= 0:
        received = received[start:]
        if len(received) < HEADER_BYTES:
            return None, received
        _, version, status, sequence, length = HEADER.unpack_from(received)
        end = HEADER_BYTES + length + CHECKSUM_BYTES
        plausible = version == VERSION and status in set(Status)
        if plausible and len(received) < end:
            return None, received
        body, checksum = received[1 : end - CHECKSUM_BYTES], received[end - CHECKSUM_BYTES : end]
        if plausible and CHECKSUM.pack(zlib.crc32(body)) == checksum:
            payload = received[HEADER_BYTES : end - CHECKSUM_BYTES]
            answer = Answer(status=Status(status), sequence=sequence, payload=payload)
            return answer, received[end:]
        received = received[1:]
    return None, b""
