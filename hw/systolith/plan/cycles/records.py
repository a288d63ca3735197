"""The arrays of the cycle model: stages, streams and transfers as records.

Numba reads fields of a record as attributes.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GROUP",
    "QUEUE",
    "STAGE",
    "STREAM",
    "TRANSFER",
    "TURN",
    "WINDOW",
    "Flags",
    "Ints",
    "Model",
    "Record",
    "Records",
]

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]
Records = NDArray[np.void]
Record = Any
"""A record of a structured array."""


def _integers(*names: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in names])


STAGE = _integers(
    *("kind", "source", "other", "sink", "frames"),
    *("transfers_per_pixel", "input_pixels", "output_pixels", "capacity", "passes"),
    *("pass_cycles", "latency", "free_latency", "arrive_latency", "credit_latency"),
    *("credit_spare", "first_window", "first_pass", "first_group", "first_queue"),
    *("first_turn", "branches"),
    *("first_freed", "freeing", "freed", "pixel", "number", "free_at", "reserved", "filled"),
)
"""Plan and state of a stage.

`source`, `other`, `sink`: streams in, in of a stage with two inputs, and out.
`credit_spare`: transfers that may be promised while none has left. `first_...`: where the stage's
part of another array begins. From `freeing` on the state: windows whose room is in use again, and
that are finished; pixel and pass (or group, or turn) at hand; first cycle without steps; transfers
promised, or of a gearbox's last complete group; transfers in its first register, or of a turn.
"""
STREAM = _integers("begin", "offers", "takes")
"""First transfer of a stream, and how many of its offers and takes are known."""
TRANSFER = _integers("offered", "taken")
"""Cycles of one transfer."""
WINDOW = _integers("needed", "freed")
"""Pixels of a frame that a window needs, and that no window after it reads."""
GROUP = _integers("fills", "empties")
"""Input and output transfers of one filling of a gearbox's registers."""
QUEUE = _integers("stream", "depth", "latency", "room_latency")
"""Queue of a fork: its output stream, and its plan."""
TURN = _integers("stream", "transfers")
"""Input stream of a concatenation, and its transfers for one pixel."""


class Model(NamedTuple):
    """A pipeline as arrays, with all cycles that are known.

    Attributes
    ----------
    stages : array of STAGE
    streams : array of STREAM
    transfers : array of TRANSFER
        Stream after stream.
    windows : array of WINDOW
        One for each output pixel of a frame, engine after engine.
    pass_transfers : array of int64
        Output transfers of each pass of a pixel, engine after engine.
    groups : array of GROUP
        For one pixel, gearbox after gearbox.
    queues : array of QUEUE
        Fork after fork.
    turns : array of TURN
        Concatenation after concatenation.
    freed_at : array of int64
        Cycle in which each output pixel of the run frees its room, engine after engine.
    """

    stages: Records
    streams: Records
    transfers: Records
    windows: Records
    pass_transfers: Ints
    groups: Records
    queues: Records
    turns: Records
    freed_at: Ints
