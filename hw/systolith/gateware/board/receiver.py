"""From bytes to requests that may be believed."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import BoardConfig
from systolith.gateware.board.packets import CHECKSUM, CHECKSUM_BYTES, SYNC, VERSION, Kind, Status

__all__ = ["PacketReceiver"]

BYTE = 8
FIELDS = 5
"""Bytes of the header behind the first: version, kind, sequence, length."""


class PacketReceiver(wiring.Component):
    """Takes packets apart and judges them.

    After a packet that is damaged or breaks off, it waits until the line has been silent, so that
    nothing that is left of it is taken for the beginning of another.

    Members
    -------
    byte, valid, error : ``In(8)``, ``In(1)``, ``In(1)``
        From :class:`UartReceiver`.
    enable : ``In(1)``
        Whether packets are wanted; bytes that come while not are dropped.
    payload : ``Out(1)``
        Whether `byte` is one of a payload in this cycle. They may turn out to be damaged.
    begin : ``Out(1)``
        For a cycle: a payload may follow.
    done : ``Out(1)``
        For a cycle, at the end of a packet, good or bad.
    status, kind, sequence : ``Out(Status)``, ``Out(8)``, ``Out(8)``
        Of the last packet, from `done` on.

    Timing
    ------
    A good packet is `done` two cycles after its last byte; a damaged one when the line has been
    silent for ``config.idle_bits`` bits.
    """

    byte: Signal
    valid: Signal
    error: Signal
    enable: Signal
    payload: Signal
    begin: Signal
    done: Signal
    status: Signal
    kind: Signal
    sequence: Signal

    def __init__(self, config: BoardConfig) -> None:
        self.config = config
        super().__init__(
            {
                "byte": In(BYTE),
                "valid": In(1),
                "error": In(1),
                "enable": In(1),
                "payload": Out(1),
                "begin": Out(1),
                "done": Out(1),
                "status": Out(Status),
                "kind": Out(BYTE),
                "sequence": Out(BYTE),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Hunt for a first byte, then header, payload, checksum, judgement."""
        m = Module()
        m.submodules.check = check = CHECKSUM(BYTE).create()
        version, length, count = Signal(BYTE), Signal(2 * BYTE), Signal(2 * BYTE)
        limit = self.config.idle_bits * self.config.divisor
        silence = Signal(range(limit + 1))
        silent = Signal()
        m.d.comb += [silent.eq(silence == limit), check.data.eq(self.byte)]
        with m.If(self.valid | self.error):
            m.d.sync += silence.eq(0)
        with m.Elif(~silent):
            m.d.sync += silence.eq(silence + 1)
        with m.FSM():
            with m.State("hunt"):
                m.d.comb += check.start.eq(1)
                m.d.sync += count.eq(0)
                with m.If(self.valid & (self.byte == SYNC) & self.enable):
                    m.next = "header"
            with m.State("header"):
                self._broken(m, silent)
                self._header(m, check.valid, version, length, count)
            with m.State("payload"):
                self._broken(m, silent)
                m.d.comb += [self.payload.eq(self.valid), check.valid.eq(self.valid)]
                with m.If(self.valid):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == length - 1):
                        m.d.sync += count.eq(0)
                        m.next = "checksum"
            with m.State("checksum"):
                self._broken(m, silent)
                m.d.comb += check.valid.eq(self.valid)
                with m.If(self.valid):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == CHECKSUM_BYTES - 1):
                        m.next = "judge"
            with m.State("judge"):
                found = self._verdict(check.match_detected, version, length)
                m.d.sync += self.status.eq(found)
                m.next = "over"
                with m.If(found == Status.CHECKSUM):
                    m.next = "damaged"
            with m.State("damaged"):
                with m.If(silent):
                    m.next = "over"
            with m.State("over"):
                m.d.comb += self.done.eq(1)
                m.next = "hunt"
        return m

    def _header(
        self, m: Module, check: Signal, version: Signal, length: Signal, count: Signal
    ) -> None:
        """Shift the fields in, the length last."""
        m.d.comb += check.eq(self.valid)
        with m.If(self.valid):
            fields = Cat(version, self.kind, self.sequence, length)
            m.d.sync += [fields.eq(Cat(fields[BYTE:], self.byte)), count.eq(count + 1)]
            with m.If(count == FIELDS - 1):
                m.d.comb += self.begin.eq(1)
                m.d.sync += count.eq(0)
                m.next = "payload"
                with m.If(Cat(fields[-BYTE:], self.byte) == 0):
                    m.next = "checksum"

    def _broken(self, m: Module, silent: Signal) -> None:
        """Give a packet up that does not go on."""
        with m.If(silent):
            m.d.sync += self.status.eq(Status.TRUNCATED)
            m.next = "over"
        with m.If(self.error):
            m.d.sync += self.status.eq(Status.CHECKSUM)
            m.next = "damaged"

    def _verdict(self, intact: Signal, version: Signal, length: Signal) -> Mux:
        lengths = {Kind.IDENTIFY: 0, Kind.CLASSIFY: self.config.image_bytes}
        right_length = length == lengths[Kind.IDENTIFY]
        for kind, expected in lengths.items():
            right_length = Mux(self.kind == kind, length == expected, right_length)
        verdict = Mux(right_length, Status.OK, Status.LENGTH)
        verdict = Mux(self.kind < len(Kind), verdict, Status.KIND)
        verdict = Mux(version == VERSION, verdict, Status.VERSION)
        return Mux(intact, verdict, Status.CHECKSUM)
