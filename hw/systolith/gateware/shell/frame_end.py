"""Where results leave: TLAST, and whether the frame's input was as long as it should be."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.shell.axi_stream import packet
from systolith.gateware.shell.config import StreamFormat

__all__ = ["FrameEnd"]


class FrameEnd(wiring.Component):
    """Give the last transfer of each result TLAST and the mark of its input frame as TUSER.

    The last transfer waits until there is a mark: until all of the input frame has come, even if
    the result does not depend on all of it.

    Members
    -------
    i : ``In(stream.Signature(format.width))``
    marks : ``In(stream.Signature(1))``
    o : ``Out(stream.Signature(packet(format.tdata_width, user=True)))``
        Bits beyond `format.width` are 0; `user` is 0 but in the last transfer.

    Timing
    ------
    No latency. ``i.ready`` depends combinationally on ``o.ready`` and ``marks.valid``. Reset begins
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
