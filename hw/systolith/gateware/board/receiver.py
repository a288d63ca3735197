"""Receiver of packets: from bytes to checked requests."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import BoardConfig
from systolith.gateware.board.packets import (
    CHECKSUM,
    CHECKSUM_BYTES,
    SYNC,
    VERSION,
    AnswerStatus,
    RequestKind,
)

__all__ = ["PacketReceiver"]

BYTE = 8
FIELDS = 5
"""Bytes of the header behind the first: version, kind, sequence, length."""


class PacketReceiver(wiring.Component):
    """Decode packets and check them.

    After a damaged or incomplete packet, the receiver waits for silence on the line, so that the
    rest of the packet is not taken for the start of another.

    Members
    -------
    byte, valid, error : ``In(8)``, ``In(1)``, ``In(1)``
        From :class:`UartReceiver`.
    enable : ``In(1)``
        Whether packets are accepted; otherwise bytes are dropped.
    payload : ``Out(1)``
        Whether `byte` belongs to a payload in this cycle. The payload may turn out to be damaged.
    begin : ``Out(1)``
        1 for one cycle: a payload may follow.
    done : ``Out(1)``
        1 for one cycle at the end of a packet, good or bad.
    status, kind, sequence : ``Out(AnswerStatus)``, ``Out(8)``, ``Out(8)``
        Contents of the last packet, valid from `done` on.

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
                "status": Out(AnswerStatus),
                "kind": Out(BYTE),
                "sequence": Out(BYTE),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Wait for a first byte, then receive header, payload and checksum, and check them."""
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
                self._drop_broken(m, silent)
                self._header(m, check.valid, version, length, count)
            with m.State("payload"):
                self._drop_broken(m, silent)
                m.d.comb += [self.payload.eq(self.valid), check.valid.eq(self.valid)]
                with m.If(self.valid):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == length - 1):
                        m.d.sync += count.eq(0)
                        m.next = "checksum"
            with m.State("checksum"):
                self._drop_broken(m, silent)
                m.d.comb += check.valid.eq(self.valid)
                with m.If(self.valid):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == CHECKSUM_BYTES - 1):
                        m.next = "judge"
            with m.State("judge"):
                status = self._status(check.match_detected, version, length)
                m.d.sync += self.status.eq(status)
                m.next = "over"
                with m.If(status == AnswerStatus.CHECKSUM):
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

    def _drop_broken(self, m: Module, silent: Signal) -> None:
        """Drop a packet after silence or an error on the line."""
        with m.If(silent):
            m.d.sync += self.status.eq(AnswerStatus.TRUNCATED)
            m.next = "over"
        with m.If(self.error):
            m.d.sync += self.status.eq(AnswerStatus.CHECKSUM)
            m.next = "damaged"

    def _status(self, intact: Signal, version: Signal, length: Signal) -> Mux:
        lengths = {RequestKind.IDENTIFY: 0, RequestKind.CLASSIFY: self.config.image_bytes}
        right_length = length == lengths[RequestKind.IDENTIFY]
        for kind, expected in lengths.items():
            right_length = Mux(self.kind == kind, length == expected, right_length)
        status = Mux(right_length, AnswerStatus.OK, AnswerStatus.LENGTH)
        status = Mux(self.kind < len(RequestKind), status, AnswerStatus.KIND)
        status = Mux(version == VERSION, status, AnswerStatus.VERSION)
        return Mux(intact, status, AnswerStatus.CHECKSUM)
