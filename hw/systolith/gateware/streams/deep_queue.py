"""A FIFO in block memory whose output path is as short as that of a register."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.counting import count_laps
from systolith.gateware.delay import delay
from systolith.gateware.primitives import RegisteredRam
from systolith.gateware.streams.short_queue import ShortQueue
from systolith.plan import PREFETCHED, MemoryKind

__all__ = ["DeepQueue"]


class DeepQueue(wiring.Component):
    """A FIFO that reads ahead, so that the block RAM can use its output register.

    Parameters
    ----------
    width, depth : int
        Bits of a transfer, and number of transfers.

    Members
    -------
    i : ``In(stream.Signature(width))``
    o : ``Out(stream.Signature(width))``

    Timing
    ------
    Latency: :data:`systolith.plan.DEEP_LATENCY` cycles from a transfer on `i` to ``o.valid``.
    Throughput: one transfer per cycle. A leaving transfer makes room
    :data:`systolith.plan.DEEP_ROOM_LATENCY` cycles later. No combinational path between `i` and
    `o`, and none from ``o.ready`` to the counters.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        transfers = stream.Signature(width)
        super().__init__({"i": In(transfers), "o": Out(transfers)})

    def elaborate(self, platform: object) -> Module:
        """Read a stored transfer whenever the small FIFO in front of the output has room for it."""
        m = Module()
        m.submodules.memory = store = RegisteredRam(
            width=self.width, depth=self.depth, kind=MemoryKind.BLOCK
        )
        m.submodules.ahead = ahead = ShortQueue(self.width, PREFETCHED)
        room = Signal(range(self.depth + 1), init=self.depth)
        stored = Signal(range(self.depth + 1))
        credit = Signal(range(PREFETCHED + 1), init=PREFETCHED)
        # Whether there is room, and whether something is stored: known a step ahead.
        ready, some = Signal(init=1), Signal()
        taken, read, given = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(ready),
            taken.eq(self.i.valid & ready),
            read.eq(some & (credit != 0)),
            store.write_enable.eq(taken),
            store.write_data.eq(self.i.payload),
            ahead.i.valid.eq(delay(m, read, RegisteredRam.LATENCY, "read")),
            ahead.i.payload.eq(store.read_data),
            ahead.o.ready.eq(self.o.ready),
            self.o.valid.eq(ahead.o.valid),
            self.o.payload.eq(ahead.o.payload),
        ]
        m.d.sync += [
            given.eq(self.o.valid & self.o.ready),
            ready.eq(given | ~((room == 0) | ((room == 1) & taken))),
            some.eq(taken | ~((stored == 0) | ((stored == 1) & read))),
            room.eq(room - taken + given),
            stored.eq(stored + taken - read),
            credit.eq(credit - read + given),
        ]
        for address, step, name in (
            (store.write_address, taken, "produce"),
            (store.read_address, read, "consume"),
        ):
            m.d.comb += address.eq(count_laps(m, self.depth, step, name)[0])
        return m
