"""An output buffer that promises room before work is begun."""

from collections.abc import Sequence

from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CreditFifo"]


class CreditFifo(wiring.Component):
    """A FIFO whose room is reserved before a pass starts, not when its result arrives.

    So nothing between the start of a pass and this buffer ever has to stall: no enable runs through
    the PE array.

    Parameters
    ----------
    layout : Layout
        Of a transfer.
    depth : int
        Transfers held, or promised.
    passes : sequence of int
        Transfers that each pass writes; after the last comes the first again.

    Members
    -------
    room : ``Out(1)``
        Room for a pass is reserved.
    start : ``In(1)``
        The pass starts; only while `room`.
    write : ``In(1)``
    payload : ``In(layout)``
        A transfer of a pass that was started arrives.
    o : ``Out(stream.Signature(layout))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from `write` to ``o.valid``. Throughput: a pass and a transfer
    per cycle. `room` is a register: given as soon as there is room for as many transfers as the
    largest pass has; a transfer on ``o`` makes room three cycles later. No combinational path from
    ``o.ready``.
    """

    LATENCY = 1

    room: Signal
    start: Signal
    write: Signal
    payload: data.View
    o: stream.Interface

    def __init__(self, layout: data.Layout, *, depth: int, passes: Sequence[int] = (1,)) -> None:
        self.layout, self.depth, self.passes = layout, depth, tuple(passes)
        super().__init__(
            {
                "room": Out(1),
                "start": In(1),
                "write": In(1),
                "payload": In(layout),
                "o": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the FIFO and the count of transfers that are not promised, beyond a pass."""
        m = Module()
        m.submodules.fifo = buffer = fifo.SyncFIFO(width=self.layout.size, depth=self.depth)
        most = max(self.passes)
        spare = Signal(signed(self.depth.bit_length() + 1), init=self.depth - most)
        number = Signal(range(len(self.passes)))
        promise, left = Signal(), Signal()
        m.d.comb += promise.eq((spare >= 0) & (self.start | ~self.room))
        with m.If(self.start | ~self.room):
            m.d.sync += self.room.eq(promise)
        with m.If(promise):
            m.d.sync += number.eq(Mux(number == len(self.passes) - 1, 0, number + 1))
        promised = Mux(promise, Array(self.passes)[number], 0)
        m.d.sync += [left.eq(self.o.valid & self.o.ready), spare.eq(spare - promised + left)]
        m.d.comb += [
            buffer.w_data.eq(self.payload),
            buffer.w_en.eq(self.write),
            self.o.payload.eq(buffer.r_data),
            self.o.valid.eq(buffer.r_rdy),
            buffer.r_en.eq(self.o.ready),
        ]
        return m
