"""A stream register that cuts every combinational path."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RegisterSlice"]


class RegisterSlice(wiring.Component):
    """Two registers: one holds what is offered, the other what came while that was not taken.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle. Throughput: one per cycle. All outputs come from registers
    alone. Reset empties it; ``i.ready`` and ``o.valid`` are 0 then, and in the cycle after it.
    """

    LATENCY = 1

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape: Any) -> None:
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        """Build the two registers."""
        m = Module()
        offered, waiting = (
            Signal(self.shape, name=name, reset_less=True) for name in ("offered", "waiting")
        )
        any_offered, any_waiting, awake, arrives = Signal(), Signal(), Signal(), Signal()
        m.d.sync += awake.eq(1)
        m.d.comb += [
            self.o.payload.eq(offered),
            self.o.valid.eq(any_offered),
            self.i.ready.eq(awake & ~any_waiting),
            arrives.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.o.ready | ~any_offered):
            with m.If(any_waiting):
                m.d.sync += [offered.eq(waiting), any_waiting.eq(0)]
            with m.Else():
                m.d.sync += [offered.eq(self.i.payload), any_offered.eq(arrives)]
        with m.Elif(arrives):
            m.d.sync += [waiting.eq(self.i.payload), any_waiting.eq(1)]
        return m
