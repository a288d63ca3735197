"""The server of a board: images in and results out over a serial line."""

from systolith.gateware.board.config import BoardConfig, OutputConfig, identity_of
from systolith.gateware.board.packets import AnswerStatus, RequestKind
from systolith.gateware.board.resources import server_resources
from systolith.gateware.board.server import Server
from systolith.gateware.board.top import BoardTop
from systolith.gateware.board.uart import UartReceiver, UartTransmitter

__all__ = [
    "AnswerStatus",
    "BoardConfig",
    "BoardTop",
    "OutputConfig",
    "RequestKind",
    "Server",
    "UartReceiver",
    "UartTransmitter",
    "identity_of",
    "server_resources",
]
