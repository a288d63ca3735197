"""From words of a host to the load chain."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from systolith.gateware.parameters import LOAD_BUS
from systolith.gateware.shell.registers import WRITTEN

__all__ = ["LoadPort"]


class LoadPort(wiring.Component):
    """Send the bytes of written words along the chain, and keep account of them.

    Bytes of a word beyond the end of the chain are left out, so a host may fill up the last word;
    a word wholly beyond the end is an overflow.

    Members
    -------
    words : ``In(stream.Signature(WRITTEN))``
        Least significant byte first; those without strobe are left out.
    start : ``In(1)``
        Bytes that follow are the first; those that wait are forgotten.
    bus : ``Out(LOAD_BUS)``
    full : ``In(1)``
        From the end of the chain: all its memories are full.
    loaded : ``Out(1)``
        All bytes have come since `start`, or since ever.
    overflow : ``Out(1)``
        A word came that is wholly beyond the end, or before any `start`.
    count : ``Out(32)``
        Bytes since `start`.
    crc : ``Out(32)``
        Their CRC-32.

    Timing
    ------
    One byte per cycle and one cycle between words; `words` never waits for the chain. `start` is on
    the `bus` in the same cycle. Reset in the middle of a load: the chain waits for `start`.
    """

    words: stream.Interface
    start: Signal
    bus: data.View
    full: Signal
    loaded: Signal
    overflow: Signal
    count: Signal
    crc: Signal

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(
            {
                "words": In(stream.Signature(WRITTEN)),
                "start": In(1),
                "bus": Out(LOAD_BUS),
                "full": In(1),
                "loaded": Out(1),
                "overflow": Out(1),
                "count": Out(32),
                "crc": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Hold a word until its bytes are sent."""
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        word, waiting = Signal(32, reset_less=True), Signal(4)
        loading, ends = Signal(), Signal()
        m.d.comb += [
            self.words.ready.eq(waiting == 0),
            self.bus.start.eq(self.start),
            self.bus.valid.eq(waiting.any() & ~self.start),
            ends.eq(self.bus.valid & (self.count == self.size_bytes - 1)),
            crc.start.eq(self.bus.start),
            crc.valid.eq(self.bus.valid),
            crc.data.eq(self.bus.data),
            self.crc.eq(crc.crc),
            # When the last byte is sent, `start` has reached the end of the chain, which has no
            # more memories than bytes: `full` no longer tells of an earlier load.
            self.loaded.eq(self.full & ~loading),
        ]
        for number in reversed(range(4)):
            with m.If(waiting[number]):
                m.d.comb += self.bus.data.eq(word[8 * number : 8 * number + 8])
        m.d.sync += [
            waiting.eq(waiting & (waiting - 1)),
            self.count.eq(self.count + self.bus.valid),
        ]
        with m.If(ends):
            m.d.sync += [loading.eq(0), waiting.eq(0)]
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += word.eq(self.words.payload.data)
            with m.If(loading):
                m.d.sync += waiting.eq(self.words.payload.strobe)
            with m.Else():
                m.d.comb += self.overflow.eq(self.words.payload.strobe.any())
        with m.If(self.start):
            m.d.sync += [waiting.eq(0), self.count.eq(0), loading.eq(1)]
        return m
