"""Boundaries of frames: the length check at the input, TLAST at the outputs."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.shell.axi_stream import packet
from systolith.gateware.shell.config import StreamFormat

__all__ = ["FrameCheck", "FrameEnd"]


class FrameCheck(wiring.Component):
    """Keep frames apart, whatever TLAST says, so that the pipeline receives only whole frames.

    A short frame is filled up with zero transfers. Surplus transfers of a long frame, up to TLAST,
    are dropped. Without `check`, TLAST is ignored.

    Members
    -------
    i : ``In(stream.Signature(packet(format.tdata_width)))``
    o : ``Out(stream.Signature(format.width))``
        `format.transfers` per frame.
    marks : ``Out(stream.Signature(1))``
        One for each frame, with its last transfer: 1 if its length was wrong.
    check : ``In(1)``
        Whether TLAST is checked. While it is 0, nothing is dropped.
    open : ``In(1)``
        Whether transfers may pass.
    begun, ended : ``Out(1)``
        The first, the last transfer of a frame passes.
    short, long : ``Out(1)``
        The current frame is too short, too long.
    waiting : ``Out(1)``
        The pipeline waits for the producer in the middle of a frame.

    Timing
    ------
    No latency. ``i.ready`` depends combinationally on ``o.ready`` and ``marks.ready``. Reset starts
    a new frame.
    """

    i: stream.Interface
    o: stream.Interface
    marks: stream.Interface
    check: Signal
    open: Signal
    begun: Signal
    ended: Signal
    short: Signal
    long: Signal
    waiting: Signal

    def __init__(self, format: StreamFormat) -> None:
        self.format = format
        super().__init__(
            {
                "i": In(stream.Signature(packet(format.tdata_width))),
                "o": Out(stream.Signature(unsigned(format.width))),
                "marks": Out(stream.Signature(unsigned(1))),
                "check": In(1),
                "open": In(1),
                "begun": Out(1),
                "ended": Out(1),
                "short": Out(1),
                "long": Out(1),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Count transfers; fill up or drop."""
        m = Module()
        position = Signal(range(self.format.transfers))
        first, last = position == 0, position == self.format.transfers - 1
        filling, surplus = Signal(), Signal()
        dropping, may_pass, passes = Signal(), Signal(), Signal()
        m.d.comb += [
            dropping.eq(surplus & self.check),
            may_pass.eq(self.open & ~dropping & (~last | self.marks.ready)),
            self.o.valid.eq(may_pass & (self.i.valid | filling)),
            self.o.payload.eq(Mux(filling, 0, self.i.payload.data)),
            self.i.ready.eq(dropping | (may_pass & ~filling & self.o.ready)),
            passes.eq(self.o.valid & self.o.ready),
            self.begun.eq(passes & first),
            self.ended.eq(passes & last),
            self.marks.valid.eq(self.ended),
            self.marks.payload.eq(filling | self.long),
            self.waiting.eq(
                self.open & ~dropping & ~first & ~self.i.valid & ~filling & self.o.ready
            ),
        ]
        with m.If(passes & ~filling & self.check):
            m.d.comb += [
                self.short.eq(self.i.payload.last & ~last),
                self.long.eq(~self.i.payload.last & last),
            ]
        with m.If(passes):
            m.d.sync += position.eq(Mux(last, 0, position + 1))
        with m.If(self.short):
            m.d.sync += filling.eq(1)
        with m.Elif(self.ended):
            m.d.sync += filling.eq(0)
        with m.If(self.long):
            m.d.sync += surplus.eq(1)
        with m.Elif(~self.check | (self.i.valid & self.i.payload.last)):
            m.d.sync += surplus.eq(0)
        return m


class FrameEnd(wiring.Component):
    """Add TLAST to the last transfer of each result, and the mark of its input frame as TUSER.

    The last transfer waits for the mark, and so for the whole input frame, even if the result does
    not depend on all of it.

    Members
    -------
    i : ``In(stream.Signature(format.width))``
    marks : ``In(stream.Signature(1))``
    o : ``Out(stream.Signature(packet(format.tdata_width, user=True)))``
        Bits beyond `format.width` are 0; `user` is 0 except in the last transfer.

    Timing
    ------
    No latency. ``i.ready`` depends combinationally on ``o.ready`` and ``marks.valid``. Reset starts
    a new frame.
    """

    i: stream.Interface
    marks: stream.Interface
    o: stream.Interface

    def __init__(self, format: StreamFormat) -> None:
        self.format = format
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(format.width))),
                "marks": In(stream.Signature(unsigned(1))),
                "o": Out(stream.Signature(packet(format.tdata_width, user=True))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Count transfers."""
        m = Module()
        position = Signal(range(self.format.transfers))
        last, may_pass, passes = Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(position == self.format.transfers - 1),
            may_pass.eq(~last | self.marks.valid),
            self.o.valid.eq(self.i.valid & may_pass),
            self.i.ready.eq(self.o.ready & may_pass),
            self.o.payload.data.eq(self.i.payload),
            self.o.payload.last.eq(last),
            self.o.payload.user.eq(last & self.marks.payload),
            passes.eq(self.o.valid & self.o.ready),
            self.marks.ready.eq(passes & last),
        ]
        with m.If(passes):
            m.d.sync += position.eq(Mux(last, 0, position + 1))
        return m
