"""A store for one output of the accelerator."""

from amaranth import Module, Shape, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import OutputConfig
from systolith.gateware.primitives.ram import memory_style
from systolith.plan import MemoryKind

__all__ = ["MOST_DISTRIBUTED", "ResultStore", "result_layout"]

MOST_DISTRIBUTED = 128
"""Values that are stored in LUTs; more are stored in block RAM."""


def result_layout(config: OutputConfig) -> data.ArrayLayout:
    """Give the layout of an output's transfers, as of the accelerator's stream."""
    return data.ArrayLayout(Shape(config.bits, signed=config.signed), config.lanes)


class ResultStore(wiring.Component):
    """Keep the transfers of one frame.

    Members
    -------
    start : ``In(1)``
        1 for one cycle: a frame starts.
    i : ``In(stream.Signature(layout))``
        Always ready.
    address : ``In(range(transfers))``
    word : ``Out(layout)``
    full : ``Out(1)``
        Whether all transfers of the frame have come, the last one in this cycle or before.

    Timing
    ------
    `word` one cycle after `address`. `full` depends on ``i.valid`` in the same cycle.
    """

    start: Signal
    i: stream.Interface
    address: Signal
    word: data.View
    full: Signal

    def __init__(self, config: OutputConfig) -> None:
        self.config, self.layout = config, result_layout(config)
        super().__init__(
            {
                "start": In(1),
                "i": In(stream.Signature(self.layout)),
                "address": In(range(config.transfers)),
                "word": Out(self.layout),
                "full": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Write transfers in their order."""
        m = Module()
        transfers = self.config.transfers
        small = self.config.values <= MOST_DISTRIBUTED
        kind = MemoryKind.DISTRIBUTED if small else MemoryKind.BLOCK
        m.submodules.memory = store = memory.Memory(
            shape=self.layout, depth=transfers, init=[], attrs=memory_style(kind)
        )
        write, read = store.write_port(), store.read_port()
        number, kept = Signal(range(transfers)), Signal()
        last = Signal()
        m.d.comb += [
            self.i.ready.eq(1),
            write.addr.eq(number),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid),
            read.addr.eq(self.address),
            read.en.eq(1),
            self.word.eq(read.data),
            last.eq(self.i.valid & (number == transfers - 1)),
            self.full.eq(kept | last),
        ]
        with m.If(self.i.valid):
            m.d.sync += number.eq(number + 1)
        with m.If(last):
            m.d.sync += [number.eq(0), kept.eq(1)]
        with m.If(self.start):
            m.d.sync += [number.eq(0), kept.eq(0)]
        return m
