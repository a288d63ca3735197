"""Two registers: one is filled part by part while the other is emptied."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DoubleBuffer"]


class DoubleBuffer(wiring.Component):
    """A register that is filled, and one behind it that is emptied meanwhile.

    What fills the first register moves to the second one as soon as that is empty, or becomes
    empty in the same cycle.

    Parameters
    ----------
    part_bits : int
        Bits that arrive at once.
    parts : int
        Parts of a register.

    Members
    -------
    ready : ``Out(1)``
        The first register has room for a part. A register: nothing that happens in this cycle
        changes it.
    write : ``In(1)``
        A part arrives; 1 only while `ready` is 1.
    part : ``In(range(parts))``
        Which one.
    data : ``In(part_bits)``
    complete : ``In(1)``
        The part that arrives is the last one; what has not arrived is undefined.
    full : ``Out(1)``
        The second register holds something.
    contents : ``Out(parts * part_bits)``
        The second register.
    emptied : ``In(1)``
        The second register is not needed any more; 1 only while `full` is 1.

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from `complete` to `full`. Throughput: a part per cycle, if
    `emptied` comes not later than the next `complete`. No combinational path from an input to an
    output.
    """

    LATENCY = 1

    ready: Signal
    write: Signal
    part: Signal
    data: Signal
    complete: Signal
    full: Signal
    contents: Signal
    emptied: Signal

    def __init__(self, part_bits: int, parts: int) -> None:
        self.part_bits, self.parts = part_bits, parts
        super().__init__(
            {
                "ready": Out(1, init=1),
                "write": In(1),
                "part": In(range(parts)),
                "data": In(part_bits),
                "complete": In(1),
                "full": Out(1),
                "contents": Out(parts * part_bits),
                "emptied": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build both registers."""
        m = Module()
        first = Signal(self.parts * self.part_bits, reset_less=True)
        second = Signal(self.parts * self.part_bits, reset_less=True)
        filled, moves = Signal(), Signal()
        m.d.comb += [
            filled.eq((self.write & self.complete) | ~self.ready),
            moves.eq(filled & (~self.full | self.emptied)),
            self.contents.eq(second),
        ]
        m.d.sync += self.ready.eq(~filled | moves)
        with m.If(moves):
            m.d.sync += self.full.eq(1)
        with m.Elif(self.emptied):
            m.d.sync += self.full.eq(0)
        for number in range(self.parts):
            place = slice(number * self.part_bits, (number + 1) * self.part_bits)
            arrives = Signal(name=f"arrives_{number}")
            m.d.comb += arrives.eq(self.write & (self.part == number))
            with m.If(arrives):
                m.d.sync += first[place].eq(self.data)
            with m.If(moves):
                m.d.sync += second[place].eq(Mux(arrives, self.data, first[place]))
        return m
