"""Wishbone B4 in front of a register file."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.shell.register_map import MAP_BITS, WORD
from systolith.gateware.shell.registers import REQUEST, RESPONSE

__all__ = ["Wishbone", "wishbone_ports"]


def wishbone_ports() -> dict[str, Any]:
    """Members of a subordinate, without the suffixes ``_i`` and ``_o``."""
    return {
        "cyc": In(1),
        "stb": In(1),
        "we": In(1),
        "adr": In(MAP_BITS),
        "sel": In(WORD // 8),
        "dat_w": In(WORD),
        "dat_r": Out(WORD),
        "ack": Out(1),
        "err": Out(1),
        "stall": Out(1, init=1),
    }


class Wishbone(wiring.Component):
    """Turn Wishbone cycles into accesses, one at a time.

    Serves classic and pipelined initiators: `stall` falls only when the request is answered.
    Addresses count bytes; the lowest two bits are ignored.

    Members
    -------
    Those of :func:`wishbone_ports`, and

    request : ``Out(stream.Signature(REQUEST))``
    response : ``In(stream.Signature(RESPONSE, always_ready=True))``

    Timing
    ------
    `ack` or `err` 3 cycles after `stb` rises, if the register file does not wait; then one idle
    cycle. All outputs are registers. An initiator that drops `cyc` or `stb` early gets no answer;
    its write may have happened.
    """

    cyc: Signal
    stb: Signal
    we: Signal
    adr: Signal
    sel: Signal
    dat_w: Signal
    dat_r: Signal
    ack: Signal
    err: Signal
    stall: Signal
    request: stream.Interface
    response: stream.Interface

    def __init__(self) -> None:
        super().__init__(
            wishbone_ports()
            | {
                "request": Out(stream.Signature(REQUEST)),
                "response": In(stream.Signature(RESPONSE, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Take a request, wait for the answer, and show it for one cycle."""
        m = Module()
        request = Signal(REQUEST, reset_less=True)
        asked, given_up = Signal(), Signal()
        m.d.comb += [asked.eq(self.cyc & self.stb), self.request.payload.eq(request)]
        m.d.sync += [self.ack.eq(0), self.err.eq(0), self.stall.eq(1)]
        with m.If(~asked):
            m.d.sync += given_up.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [
                    request.address.eq(self.adr[2:]),
                    request.write.eq(self.we),
                    request.data.eq(self.dat_w),
                    request.strobe.eq(self.sel),
                    given_up.eq(0),
                ]
                with m.If(asked):
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.next = "RESPONSE"
            with m.State("RESPONSE"):
                with m.If(self.response.valid):
                    m.d.sync += self.dat_r.eq(self.response.payload.data)
                    m.next = "IDLE"
                    with m.If(asked & ~given_up):
                        m.d.sync += [
                            self.ack.eq(~self.response.payload.error),
                            self.err.eq(self.response.payload.error),
                            self.stall.eq(0),
                        ]
                        m.next = "ANSWER"
            with m.State("ANSWER"):
                m.next = "IDLE"
        return m
