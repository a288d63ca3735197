"""Packets of the serial line, with a version, a sequence number and a checksum.

```
request:  sync  version  kind    sequence  length (2)  payload  checksum (4)
answer:   sync  version  status  sequence  length (2)  payload  checksum (4)
```

Numbers are little endian. The checksum is the CRC-32 of Ethernet and zlib over all bytes from the
version to the end of the payload.
"""

from enum import IntEnum

from amaranth.lib.crc.catalog import CRC32_ISO_HDLC

__all__ = [
    "CHECKSUM",
    "CHECKSUM_BYTES",
    "HEADER_BYTES",
    "SYNC",
    "VERSION",
    "AnswerStatus",
    "RequestKind",
]

SYNC = 0xA5
VERSION = 2
HEADER_BYTES = 6
CHECKSUM_BYTES = 4
CHECKSUM = CRC32_ISO_HDLC


class RequestKind(IntEnum):
    """What a request asks for."""

    IDENTIFY = 0
    """No payload. Answer: hash of the network (8 bytes), bytes of an image (4), number of outputs
    (2), and for each its number of values (4) and their format (1): bytes of a value, 1, 2 or 4,
    plus 64 if a class follows the values, plus 128 if they are signed."""
    CLASSIFY = 1
    """Payload: an image, as its transfers, a byte for each lane. Answer: for each output its
    values, pixel by pixel, and the class (2 bytes) of a vector; then cycles (4) from the first
    transfer in to the last out."""


class AnswerStatus(IntEnum):
    """Result of a request."""

    OK = 0
    CHECKSUM = 1
    """The packet was damaged; the request was not carried out."""
    VERSION = 2
    """The packet has another version."""
    KIND = 3
    """The kind of the request is unknown."""
    LENGTH = 4
    """The payload has the wrong length."""
    TRUNCATED = 5
    """The packet ended early."""
