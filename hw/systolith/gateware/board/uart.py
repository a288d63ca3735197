"""Bytes on a serial line: a start bit, eight bits, least significant first, and a stop bit."""

from amaranth import Cat, Module, Signal
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["UartReceiver", "UartTransmitter"]

BITS = 8


class UartReceiver(wiring.Component):
    """Receive bytes from a line.

    Parameters
    ----------
    divisor : int
        Cycles per bit; at least 4.

    Members
    -------
    rx : ``In(1)``
        The line, idle at 1; asynchronous.
    byte : ``Out(8)``
    valid : ``Out(1)``
        1 for the cycle in which a byte is complete.
    error : ``Out(1)``
        1 for the cycle in which a byte ends without a stop bit; the byte is dropped.

    Timing
    ------
    Bits are sampled in their middle. A byte is lost unless it is used in the cycle of `valid`.
    """

    rx: Signal
    byte: Signal
    valid: Signal
    error: Signal

    def __init__(self, divisor: int) -> None:
        if divisor < 4:
            raise ValueError(f"a bit must last at least 4 cycles, got {divisor}")
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "byte": Out(BITS), "valid": Out(1), "error": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Wait for a start bit, then sample the middle of each bit."""
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = cdc.FFSynchronizer(self.rx, line, init=1)
        timer, left = Signal(range(self.divisor)), Signal(range(BITS + 1))
        with m.FSM():
            with m.State("idle"):
                m.d.sync += [timer.eq(self.divisor // 2 - 1), left.eq(BITS)]
                with m.If(~line):
                    m.next = "start"
            with m.State("start"):
                m.d.sync += timer.eq(timer - 1)
                with m.If(timer == 0):
                    m.d.sync += timer.eq(self.divisor - 1)
                    m.next = "bits"
                    with m.If(line):
                        m.next = "idle"
            with m.State("bits"):
                m.d.sync += timer.eq(timer - 1)
                with m.If(timer == 0):
                    m.d.sync += [timer.eq(self.divisor - 1), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.d.comb += [self.valid.eq(line), self.error.eq(~line)]
                        m.next = "idle"
                        with m.If(~line):
                            m.next = "break"
                    with m.Else():
                        m.d.sync += self.byte.eq(Cat(self.byte[1:], line))
            with m.State("break"):
                with m.If(line):
                    m.next = "idle"
        return m


class UartTransmitter(wiring.Component):
    """Send bytes to a line.

    Parameters
    ----------
    divisor : int
        Cycles per bit.

    Members
    -------
    i : ``In(stream.Signature(8))``
    tx : ``Out(1)``
        The line.

    Timing
    ------
    A byte every ``10 * divisor`` cycles.
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(BITS)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        """Shift a frame of ten bits out."""
        m = Module()
        frame = Signal(BITS + 1, init=(1 << BITS + 1) - 1)
        timer, left = Signal(range(self.divisor)), Signal(range(BITS + 3))
        m.d.comb += self.i.ready.eq(left == 0)
        with m.If(left == 0):
            with m.If(self.i.valid):
                m.d.sync += [
                    self.tx.eq(0),
                    frame.eq(Cat(self.i.payload, 1)),
                    timer.eq(self.divisor - 1),
                    left.eq(BITS + 2),
                ]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
            with m.If(timer == 0):
                m.d.sync += [
                    timer.eq(self.divisor - 1),
                    left.eq(left - 1),
                    self.tx.eq(frame[0]),
                    frame.eq(Cat(frame[1:], 1)),
                ]
        return m
