"""The host's end of the serial line: asks a board, and trusts no answer that is not whole."""

from systolith.host.client import Board, Classification, Line, open_line
from systolith.host.errors import BoardError
from systolith.host.protocol import Answer, Identity, decode, encode

__all__ = [
    "Answer",
    "Board",
    "BoardError",
    "Classification",
    "Identity",
    "Line",
    "decode",
    "encode",
    "open_line",
]
