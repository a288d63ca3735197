"""Two registers in turn: one is filled part by part while the other is emptied."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DoubleBuffer"]


class DoubleBuffer(wiring.Component):
    """Two registers that are filled and emptied in turn.

    What arrives enables the registers; what is emptied moves a few flags only.

    Parameters
    ----------
    part_bits : int
        Bits that arrive at once.
    parts : int
        Parts of a register.

    Members
    -------
    ready : ``Out(1)``
        A register has room for a part. A flag: nothing that happens in this cycle changes it.
    write : ``In(1)``
        A part arrives; 1 only while `ready` is 1.
    part : ``In(range(parts))``
        Which one.
    data : ``In(part_bits)``
    complete : ``In(1)``
        The part that arrives is the last one; what has not arrived is undefined.
    full : ``Out(1)``
        A register is complete.
    contents : ``Out(parts * part_bits)``
        That register, or the one that was completed first.
    emptied : ``In(1)``
        That register is not needed any more; 1 only while `full` is 1.

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
        """Build both registers, and the flags that tell which one is filled and emptied."""
        m = Module()
        size = self.parts * self.part_bits
        registers = [Signal(size, name=f"register_{n}", reset_less=True) for n in (0, 1)]
        filling, emptying, filled = Signal(), Signal(), Signal()
        m.d.comb += [
            filled.eq(self.write & self.complete),
            self.contents.eq(Mux(emptying, registers[1], registers[0])),
        ]
        m.d.sync += [
            filling.eq(filling ^ filled),
            emptying.eq(emptying ^ self.emptied),
            self.ready.eq(self.emptied | (self.ready & ~(self.full & filled))),
            self.full.eq(filled | ~self.ready | (self.full & ~self.emptied)),
        ]
        if not self.part_bits:
            return m  # flags only
        for register, fills in zip(registers, (~filling, filling), strict=True):
            # A simulator evaluates nothing below this condition in most cycles.
            with m.If(self.write & fills):
                m.d.sync += register.word_select(self.part, self.part_bits).eq(self.data)
        return m
