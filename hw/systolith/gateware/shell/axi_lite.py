"""AXI4-Lite in front of a register file."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.shell.register_map import MAP_BITS, WORD
from systolith.gateware.shell.registers import REQUEST, RESPONSE

__all__ = ["AxiLite", "axi_lite_ports"]


OKAY, SLVERR = 0, 2
"""The AXI4-Lite responses that occur here."""


def axi_lite_ports() -> dict[str, Any]:
    """Members of a subordinate: ``awaddr`` and so on."""
    return {
        "awaddr": In(MAP_BITS),
        "awprot": In(3),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(WORD),
        "wstrb": In(WORD // 8),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(MAP_BITS),
        "arprot": In(3),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(WORD),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }


class AxiLite(wiring.Component):
    """Turn AXI4-Lite into accesses, one at a time; reads and writes take turns.

    Protection bits are ignored, and so are the lowest two address bits.

    Members
    -------
    Those of :func:`axi_lite_ports`, and

    request : ``Out(stream.Signature(REQUEST))``
    response : ``In(stream.Signature(RESPONSE, always_ready=True))``

    Timing
    ------
    All outputs to the bus are registers: no combinational path between its ports. A write or a read
    takes 4 cycles if the register file does not wait. Reset drops all accesses; every ready and
    valid is 0 during reset and in the cycle after it.
    """

    awaddr: Signal
    awvalid: Signal
    awready: Signal
    wdata: Signal
    wstrb: Signal
    wvalid: Signal
    wready: Signal
    bresp: Signal
    bvalid: Signal
    bready: Signal
    araddr: Signal
    arvalid: Signal
    arready: Signal
    rdata: Signal
    rresp: Signal
    rvalid: Signal
    rready: Signal
    request: stream.Interface
    response: stream.Interface

    def __init__(self) -> None:
        super().__init__(
            axi_lite_ports()
            | {
                "request": Out(stream.Signature(REQUEST)),
                "response": In(stream.Signature(RESPONSE, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Hold each channel's transfer until its access is done."""
        m = Module()
        address, data, strobe = Signal(MAP_BITS), Signal(WORD), Signal(WORD // 8)
        read_address = Signal(MAP_BITS)
        any_address, any_data, any_read, awake = Signal(), Signal(), Signal(), Signal()
        m.d.sync += awake.eq(1)
        m.d.comb += [
            self.awready.eq(awake & ~any_address),
            self.wready.eq(awake & ~any_data),
            self.arready.eq(awake & ~any_read),
        ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += [any_address.eq(1), address.eq(self.awaddr)]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [any_data.eq(1), data.eq(self.wdata), strobe.eq(self.wstrb)]
        with m.If(self.arvalid & self.arready):
            m.d.sync += [any_read.eq(1), read_address.eq(self.araddr)]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)

        writing, wrote_last = Signal(), Signal()
        may_write = any_address & any_data & ~self.bvalid
        may_read = any_read & ~self.rvalid
        request, response = self.request.payload, self.response.payload
        m.d.comb += [
            request.write.eq(writing),
            request.address.eq(Mux(writing, address, read_address)[2:]),
            request.data.eq(data),
            request.strobe.eq(strobe),
        ]
        resp = Mux(response.error, SLVERR, OKAY)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += writing.eq(may_write & ~(may_read & wrote_last))
                with m.If(may_write | may_read):
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.next = "RESPONSE"
            with m.State("RESPONSE"):
                with m.If(self.response.valid):
                    m.d.sync += wrote_last.eq(writing)
                    with m.If(writing):
                        m.d.sync += [
                            any_address.eq(0),
                            any_data.eq(0),
                            self.bvalid.eq(1),
                            self.bresp.eq(resp),
                        ]
                    with m.Else():
                        m.d.sync += [
                            any_read.eq(0),
                            self.rvalid.eq(1),
                            self.rdata.eq(response.data),
                            self.rresp.eq(resp),
                        ]
                    m.next = "IDLE"
        return m
