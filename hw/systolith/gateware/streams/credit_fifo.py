"""An output buffer that promises room before a pass starts."""

from collections.abc import Sequence

from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CreditFifo"]


class CreditFifo(wiring.Component):
    """A FIFO whose room is reserved when a pass starts, not when its results arrive.

    Nothing between the start of a pass and this buffer ever stalls, so no enable runs through the
    PE array.

    Parameters
    ----------
    layout : Layout
        Layout of a transfer.
    depth : int
        Transfers that are held or promised.
    passes : sequence of int
        Transfers that each pass writes; the first pass follows the last.

    Raises
    ------
    ValueError
        If there are no passes, a pass writes nothing, or the longest pass does not fit.

    Members
    -------
    room : ``Out(1)``
        Whether room for a pass is reserved.
    start : ``In(1)``
        The pass starts; 1 only while `room` is 1.
    write : ``In(1)``
    payload : ``In(layout)``
        A transfer of a started pass arrives.
    o : ``Out(stream.Signature(layout))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from `write` to ``o.valid``. Throughput: a pass and a transfer
    per cycle. `room` is a register, 1 at reset and set as soon as the longest pass fits. A transfer
    on ``o`` makes room three cycles later. No combinational path from ``o.ready``.
    """

    LATENCY = 1

    room: Signal
    start: Signal
    write: Signal
    payload: data.View
    o: stream.Interface

    def __init__(self, layout: data.Layout, *, depth: int, passes: Sequence[int] = (1,)) -> None:
        self.layout, self.depth, self.passes = layout, depth, tuple(passes)
        if min(self.passes, default=0) < 1:
            raise ValueError(f"each pass must write at least 1 transfer, got {self.passes}")
        if depth < max(self.passes):
            raise ValueError(
                f"an output buffer must hold the {max(self.passes)} transfers of its longest pass, "
                f"got a depth of {depth}"
            )
        super().__init__(
            {
                "room": Out(1, init=1),
                "start": In(1),
                "write": In(1),
                "payload": In(layout),
                "o": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the FIFO and the count of transfers that can be promised beyond one pass."""
        m = Module()
        m.submodules.fifo = buffer = fifo.SyncFIFO(width=self.layout.size, depth=self.depth)
        most, first = max(self.passes), self.passes[0]
        # Room for the first pass is promised at reset.
        spare = Signal(signed(self.depth.bit_length() + 1), init=self.depth - most - first)
        number = Signal(range(len(self.passes)), init=1 % len(self.passes))
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
