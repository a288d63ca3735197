"""Encode and decode packets; :mod:`systolith.gateware.board.packets` defines their layout."""

import struct
import zlib
from dataclasses import dataclass

from systolith.gateware.board import AnswerStatus, RequestKind
from systolith.gateware.board.packets import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    SYNC,
    VERSION,
)

__all__ = ["Answer", "BoardError", "Identity", "decode", "encode"]

HEADER = struct.Struct("<BBBBH")
CHECKSUM = struct.Struct("<I")
IDENTITY = struct.Struct("<8sIH")


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
class Identity:
    """Identity of the network on a board.

    Attributes
    ----------
    network : bytes
        First 8 bytes of the network's content hash.
    image_bytes, outputs : int
        Bytes of an image, and number of outputs.
    """

    network: bytes
    image_bytes: int
    outputs: int

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Identity":
        """Decode the answer to IDENTIFY; ValueError if its length is wrong."""
        if len(payload) != IDENTITY.size:
            raise ValueError(f"an identity has {IDENTITY.size} bytes, got {len(payload)}")
        network, image_bytes, outputs = IDENTITY.unpack(payload)
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
