"""An output buffer that promises room before work is begun."""

from amaranth import Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CreditFifo"]


class CreditFifo(wiring.Component):
    """A FIFO whose room is reserved when a pass starts, not when its result arrives.

    So nothing between the start of a pass and this buffer ever has to stall: no enable runs through
    the PE array. Whoever writes must have reserved before.

    Members
    -------
    reserve : ``In(range(most + 1))``
        Transfers reserved in this cycle; only while `room`.
    room : ``Out(1)``
        Whether `most` transfers may be reserved.
    write : ``In(1)``
    payload : ``In(layout)``
        A reserved transfer arrives.
    o : ``Out(stream.Signature(layout))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from `write` to ``o.valid``. Throughput: one per cycle. A
    transfer on ``o`` makes room in the next cycle. No combinational path from ``o.ready``.
    """

    LATENCY = 1

    reserve: Signal
    room: Signal
    write: Signal
    payload: data.View
    o: stream.Interface

    def __init__(self, layout: data.Layout, *, depth: int, most: int) -> None:
        self.layout, self.depth, self.most = layout, depth, most
        super().__init__(
            {
                "reserve": In(range(most + 1)),
                "room": Out(1),
                "write": In(1),
                "payload": In(layout),
                "o": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the FIFO and the count of transfers not yet promised."""
        m = Module()
        m.submodules.fifo = buffer = fifo.SyncFIFO(width=self.layout.size, depth=self.depth)
        free = Signal(range(self.depth + 1), init=self.depth)
        m.d.sync += free.eq(free - self.reserve + (self.o.valid & self.o.ready))
        m.d.comb += [
            self.room.eq(free >= self.most),
            buffer.w_data.eq(self.payload),
            buffer.w_en.eq(self.write),
            self.o.payload.eq(buffer.r_data),
            self.o.valid.eq(buffer.r_rdy),
            buffer.r_en.eq(self.o.ready),
        ]
        return m
