"""The load chain's port for a host: words in, bytes out."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from systolith.gateware.parameters import LOAD_BUS
from systolith.gateware.shell.registers import WRITTEN

__all__ = ["LoadPort"]


class LoadPort(wiring.Component):
    """Send the bytes of written words along the chain, with their count and checksum.

    Bytes of a word beyond the end of the chain are ignored, so a host may pad the last word. A word
    entirely beyond the end is an overflow.

    Members
    -------
    words : ``In(stream.Signature(WRITTEN))``
        Least significant byte first; bytes without strobe are ignored.
    start : ``In(1)``
        The next byte is the first; waiting bytes are dropped.
    bus : ``Out(LOAD_BUS)``
    full : ``In(1)``
        All memories are full, from the end of the chain.
    loaded : ``Out(1)``
        All bytes have arrived since `start`; 1 before the first.
    overflow : ``Out(1)``
        A word arrives entirely beyond the end, or before any `start`.
    count : ``Out(32)``
        Bytes since `start`.
    crc : ``Out(32)``
        CRC-32 of these bytes.

    Timing
    ------
    One byte per cycle and one cycle between words; `words` never waits for the chain. `start` is on
    the `bus` in the same cycle. After a reset in the middle of a load, the chain waits for `start`.
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
            # When the last byte is sent, `start` has reached the end of the chain, because the
            # chain has at least as many bytes as memories: `full` no longer shows an earlier load.
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
