"""The host side of a board's serial line: sends requests and accepts only complete answers."""

from systolith.host.client import BoardClient, Classification, SerialLine, open_line
from systolith.host.protocol import Answer, BoardError, Identity, decode, encode

__all__ = [
    "Answer",
    "BoardClient",
    "BoardError",
    "Classification",
    "Identity",
    "SerialLine",
    "decode",
    "encode",
    "open_line",
]
