"""A FIFO in LUT memory whose both ends are registers of flags."""

from amaranth import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.counting import count_laps

__all__ = ["ShortQueue"]


class ShortQueue(wiring.Component):
    """A FIFO that knows a step ahead whether it is empty or full.

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
    Latency: :attr:`LATENCY` cycle. Throughput: one transfer per cycle. A leaving transfer makes
    room one cycle later. ``i.ready`` and ``o.valid`` are registers; ``o.payload`` is read from the
    memory. No combinational path between `i` and `o`.
    """

    LATENCY = 1

    i: stream.Interface
    o: stream.Interface

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        transfers = stream.Signature(width)
        super().__init__({"i": In(transfers), "o": Out(transfers)})

    def elaborate(self, platform: object) -> Module:
        """Build the memory, its two places, the level, and the flags of the next level."""
        m = Module()
        m.submodules.memory = store = memory.Memory(shape=self.width, depth=self.depth, init=[])
        write_port, read_port = store.write_port(), store.read_port(domain="comb")
        level, full, some = Signal(range(self.depth + 1)), Signal(), Signal()
        write, read = Signal(), Signal()
        produce, _ = count_laps(m, self.depth, write, "produce")
        consume, _ = count_laps(m, self.depth, read, "consume")
        m.d.comb += [
            self.i.ready.eq(~full),
            self.o.valid.eq(some),
            write.eq(self.i.valid & ~full),
            read.eq(some & self.o.ready),
            write_port.en.eq(write),
            write_port.addr.eq(produce),
            write_port.data.eq(self.i.payload),
            read_port.addr.eq(consume),
            self.o.payload.eq(read_port.data),
        ]
        m.d.sync += [
            full.eq(~read & (full | (write & (level == self.depth - 1)))),
            some.eq(write | (some & ~(read & (level == 1)))),
        ]
        with m.If(write & ~read):
            m.d.sync += level.eq(level + 1)
        with m.Elif(read & ~write):
            m.d.sync += level.eq(level - 1)
        return m
