"""A board that answers: images in and results out, over a serial line."""

from systolith.gateware.board.config import BoardConfig, identity_of
from systolith.gateware.board.packets import Kind, Status
from systolith.gateware.board.resources import server_resources
from systolith.gateware.board.server import Server
from systolith.gateware.board.top import BoardTop
from systolith.gateware.board.uart import UartReceiver, UartTransmitter

__all__ = [
    "BoardConfig",
    "BoardTop",
    "Kind",
    "Server",
    "Status",
    "UartReceiver",
    "UartTransmitter",
    "identity_of",
    "server_resources",
]
