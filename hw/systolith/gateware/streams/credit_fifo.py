"""An output buffer that promises room before a pass starts."""

from collections.abc import Sequence

from amaranth import Array, C, Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.counting import add_and_carry, count_laps
from systolith.gateware.streams.double_buffer import DoubleBuffer
from systolith.gateware.streams.short_queue import ShortQueue
from systolith.plan import BUFFER_LATENCY

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
    Latency: :attr:`LATENCY` cycles from `write` to ``o.valid``. Throughput: a pass and a transfer
    per cycle. `room` is a register, 1 at reset and set as soon as the longest pass fits; room for
    one more pass is promised ahead. A transfer on ``o`` makes room three cycles later. ``o`` comes
    from registers. No combinational path from ``o.ready``.
    """

    LATENCY = BUFFER_LATENCY

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
        m.submodules.queue = queue = ShortQueue(self.layout.size, self.depth)
        m.submodules.exit = exit_ = DoubleBuffer(self.layout.size, 1)
        most, first = max(self.passes), self.passes[0]
        promise, second = Signal(), Signal()
        # Transfers that are missing for another pass, less one; negative if it can be promised.
        # Room for the first pass is promised at reset.
        bits = self.depth.bit_length() + 1
        missing = Signal(signed(bits), init=most + first - self.depth - 1)
        number, _ = count_laps(m, len(self.passes), promise, "number", start=2 % len(self.passes))
        # Of the next pass to promise, less one.
        amount = Signal(range(most), init=self.passes[1 % len(self.passes)] - 1)
        none_left = Signal(init=1)
        none_promised = (~promise).replicate(len(amount) + 1)
        m.d.comb += promise.eq(missing[-1] & ~second)
        m.d.sync += [
            self.room.eq(promise | second | (self.room & ~self.start)),
            second.eq((second | (self.room & promise)) & ~self.start),
            none_left.eq(~exit_.emptied),
            missing.eq(add_and_carry(missing, Cat(amount, C(0, 1)) | none_promised, none_left)),
        ]
        with m.If(promise):
            m.d.sync += amount.eq(Array(length - 1 for length in self.passes)[number])
        m.d.comb += [
            queue.i.payload.eq(self.payload),
            queue.i.valid.eq(self.write),
            queue.o.ready.eq(exit_.ready),
            exit_.write.eq(queue.o.valid & exit_.ready),
            exit_.data.eq(queue.o.payload),
            exit_.complete.eq(1),
            exit_.emptied.eq(exit_.full & self.o.ready),
            self.o.payload.eq(exit_.contents),
            self.o.valid.eq(exit_.full),
        ]
        return m
