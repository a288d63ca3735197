"""A store for an image that arrives as bytes and leaves as transfers."""

from amaranth import Cat, Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import BoardConfig
from systolith.gateware.primitives.ram import memory_style
from systolith.plan import MemoryKind

__all__ = ["ImageStore"]

BYTE = 8


class ImageStore(wiring.Component):
    """Gather the transfers of an image in a memory, and send them on request.

    Members
    -------
    begin : ``In(1)``
        1 for one cycle: the next byte is the first.
    byte, valid : ``In(8)``, ``In(1)``
        Values lane by lane, transfer by transfer; surplus bytes are dropped.
    start : ``In(1)``
        1 for one cycle: send the image.
    o : ``Out(stream.Signature(lanes * bits))``

    Timing
    ------
    ``o.valid`` two cycles after `start`, then one transfer per cycle.
    """

    begin: Signal
    byte: Signal
    valid: Signal
    start: Signal
    o: stream.Interface

    def __init__(self, config: BoardConfig, bits: int) -> None:
        self.config, self.bits = config, bits
        super().__init__(
            {
                "begin": In(1),
                "byte": In(BYTE),
                "valid": In(1),
                "start": In(1),
                "o": Out(stream.Signature(config.lanes_in * bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Write each transfer with its last lane; read one transfer ahead."""
        m = Module()
        lanes, transfers = self.config.lanes_in, self.config.transfers_in
        width = lanes * self.bits
        m.submodules.memory = store = memory.Memory(
            shape=width, depth=transfers, init=[], attrs=memory_style(MemoryKind.BLOCK)
        )
        write, read = store.write_port(), store.read_port()
        lane, number = Signal(range(lanes)), Signal(range(transfers + 1))
        earlier = Signal(width)
        word = Cat(earlier, self.byte[: self.bits])[self.bits :]
        m.d.comb += [
            write.addr.eq(number),
            write.data.eq(word),
            write.en.eq(self.valid & (lane == lanes - 1) & (number < transfers)),
        ]
        with m.If(self.valid):
            m.d.sync += [earlier.eq(word), lane.eq(lane + 1)]
            with m.If(lane == lanes - 1):
                m.d.sync += lane.eq(0)
                with m.If(number < transfers):
                    m.d.sync += number.eq(number + 1)
        with m.If(self.begin):
            m.d.sync += [lane.eq(0), number.eq(0)]
        sent, sending, loaded = Signal(range(transfers)), Signal(), Signal()
        following = Signal(range(transfers + 1))
        moved = self.o.valid & self.o.ready
        m.d.comb += [
            self.o.valid.eq(sending & loaded),
            self.o.payload.eq(read.data),
            following.eq(sent + moved),
            read.addr.eq(following),
            read.en.eq(1),
        ]
        m.d.sync += loaded.eq(sending)
        with m.If(moved):
            m.d.sync += sent.eq(following)
            with m.If(sent == transfers - 1):
                m.d.sync += [sending.eq(0), loaded.eq(0), sent.eq(0)]
        with m.If(self.start):
            m.d.sync += [sending.eq(1), sent.eq(0)]
        return m
