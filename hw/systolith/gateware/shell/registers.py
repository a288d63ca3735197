"""The register file, independent of the bus."""

from collections.abc import Sequence
from typing import Any

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.shell.register_map import MAP_BITS, WORD, Access, Register

__all__ = ["REQUEST", "RESPONSE", "WRITTEN", "RegisterFile"]

BYTES = WORD // 8
REQUEST = data.StructLayout({"address": MAP_BITS - 2, "write": 1, "data": WORD, "strobe": BYTES})
"""One access. The address counts words; each written byte has a strobe."""
RESPONSE = data.StructLayout({"data": WORD, "error": 1})
WRITTEN = data.StructLayout({"data": WORD, "strobe": BYTES})


class RegisterFile(wiring.Component):
    """Registers of a map, one access at a time.

    Members
    -------
    request : ``In(stream.Signature(REQUEST))``
    response : ``Out(stream.Signature(RESPONSE, always_ready=True))``
        `error` if there is no register at the address, or it does not allow the access.

    and for each register, under its name in lower case, by access:

    read : ``In(width)``
        Value of a read.
    read, write : ``Out(width)``
        Last written value.
    read, write 1 to clear : ``Out(width)``, and ``{name}_set: In(width)``
        ``{name}_set`` sets bits, and wins over a write that clears them.
    write : ``Out(stream.Signature(WRITTEN))``
        Each write; the request waits until it is taken.

    Timing
    ------
    `response` one cycle after the transfer of the request, which waits only at a write register.
    Reset sets registers to their initial values.
    """

    request: stream.Interface
    response: stream.Interface

    def __init__(self, registers: Sequence[Register]) -> None:
        self.registers = tuple(registers)
        members: dict[str, Any] = {
            "request": In(stream.Signature(REQUEST)),
            "response": Out(stream.Signature(RESPONSE, always_ready=True)),
        }
        for register in self.registers:
            name, shape = register.name.lower(), unsigned(register.width)
            match register.access:
                case Access.READ:
                    members[name] = In(shape)
                case Access.READ_WRITE:
                    members[name] = Out(shape, init=register.init)
                case Access.CLEAR:
                    members |= {name: Out(shape, init=register.init), f"{name}_set": In(shape)}
                case Access.WRITE:
                    members[name] = Out(stream.Signature(WRITTEN))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Decode the address, then handle each register."""
        m = Module()
        request = self.request.payload
        ready, error, value = Signal(init=1), Signal(), Signal(WORD)
        cleared = {
            register.name: Signal(register.width, name=f"{register.name.lower()}_cleared")
            for register in self.registers
            if register.access is Access.CLEAR
        }
        mask = Cat(bit.replicate(8) for bit in request.strobe)
        with m.Switch(request.address):
            for register in self.registers:
                with m.Case(register.address // BYTES):
                    port = getattr(self, register.name.lower())
                    readable = register.access is not Access.WRITE
                    writable = register.access is not Access.READ
                    m.d.comb += error.eq(Mux(request.write, not writable, not readable))
                    if readable:
                        m.d.comb += value.eq(port)
                    with m.If(self.request.valid & request.write):
                        match register.access:
                            case Access.READ_WRITE:
                                m.d.sync += port.eq((port & ~mask) | (request.data & mask))
                            case Access.CLEAR:
                                m.d.comb += cleared[register.name].eq(request.data & mask)
                            case Access.WRITE:
                                m.d.comb += [port.valid.eq(1), ready.eq(port.ready)]
            with m.Default():
                m.d.comb += error.eq(1)
        for register in self.registers:
            name = register.name.lower()
            port = getattr(self, name)
            if register.access is Access.CLEAR:
                kept = port & ~cleared[register.name]
                m.d.sync += port.eq(kept | getattr(self, f"{name}_set"))
            elif register.access is Access.WRITE:
                m.d.comb += [
                    port.payload.data.eq(request.data),
                    port.payload.strobe.eq(request.strobe),
                ]
        m.d.comb += self.request.ready.eq(ready)
        m.d.sync += [
            self.response.valid.eq(self.request.valid & ready),
            self.response.payload.data.eq(Mux(request.write, 0, value)),
            self.response.payload.error.eq(error),
        ]
        return m
