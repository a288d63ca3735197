"""A store for the accelerator's results, with a count of its cycles."""

from amaranth import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import BoardConfig

__all__ = ["ResultStore"]

WORD = 32


class ResultStore(wiring.Component):
    """Keep the transfers of one frame, and count its cycles.

    Members
    -------
    start : ``In(1)``
        1 for one cycle: a frame starts.
    first : ``In(1)``
        A transfer enters the accelerator; the first one starts the count.
    i : ``In(stream.Signature(layout))``
        Always ready.
    address : ``In(range(transfers))``
    word : ``Out(layout)``
    cycles : ``Out(32)``
        Cycles from the first transfer in to the last transfer out, inclusive.
    finished : ``Out(1)``
        1 for one cycle after the last transfer.

    Timing
    ------
    `word` one cycle after `address`.
    """

    start: Signal
    first: Signal
    i: stream.Interface
    address: Signal
    word: data.View
    cycles: Signal
    finished: Signal

    def __init__(self, config: BoardConfig, layout: data.ArrayLayout) -> None:
        self.config, self.layout = config, layout
        super().__init__(
            {
                "start": In(1),
                "first": In(1),
                "i": In(stream.Signature(layout)),
                "address": In(range(config.transfers_out)),
                "word": Out(layout),
                "cycles": Out(WORD),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Write transfers in their order."""
        m = Module()
        transfers = self.config.transfers_out
        m.submodules.memory = store = memory.Memory(
            shape=self.layout, depth=transfers, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = store.write_port(), store.read_port()
        number, counting = Signal(range(transfers)), Signal()
        m.d.comb += [
            self.i.ready.eq(1),
            write.addr.eq(number),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid),
            read.addr.eq(self.address),
            read.en.eq(1),
            self.word.eq(read.data),
        ]
        m.d.sync += self.finished.eq(0)
        with m.If(self.first):
            m.d.sync += counting.eq(1)
        with m.If(counting | self.first):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.If(self.i.valid):
            m.d.sync += number.eq(number + 1)
            with m.If(number == transfers - 1):
                m.d.sync += [number.eq(0), counting.eq(0), self.finished.eq(1)]
        with m.If(self.start):
            m.d.sync += [self.cycles.eq(0), number.eq(0)]
        return m
