"""Sender of answers, byte by byte."""

from amaranth import Array, C, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import BoardConfig
from systolith.gateware.board.packets import (
    CHECKSUM,
    CHECKSUM_BYTES,
    HEADER_BYTES,
    SYNC,
    VERSION,
    AnswerStatus,
    RequestKind,
)

__all__ = ["AnswerSender"]

BYTE, WORD = 8, 32


class AnswerSender(wiring.Component):
    """Send a packet: header, payload, checksum.

    Members
    -------
    start : ``In(1)``
        1 for one cycle: send an answer.
    status, kind, sequence, cycles : ``In(AnswerStatus)``, ``In(8)``, ``In(8)``, ``In(32)``
        Must not change until `done`.
    results : ``In(data.ArrayLayout(8, outputs))``
        Next byte of each output, two cycles after it was taken.
    last, taken : ``In(outputs)``, ``Out(outputs)``
        By output: whether that byte is its last, and whether it was sent.
    o : ``Out(stream.Signature(8))``
    done : ``Out(1)``
        1 for one cycle: the last byte has left.

    Timing
    ------
    At most one byte every two cycles.
    """

    start: Signal
    status: Signal
    kind: Signal
    sequence: Signal
    cycles: Signal
    results: data.View
    last: Signal
    taken: Signal
    o: stream.Interface
    done: Signal

    def __init__(self, config: BoardConfig) -> None:
        self.config = config
        outputs = len(config.outputs)
        super().__init__(
            {
                "start": In(1),
                "status": In(AnswerStatus),
                "kind": In(BYTE),
                "sequence": In(BYTE),
                "cycles": In(WORD),
                "results": In(data.ArrayLayout(BYTE, outputs)),
                "last": In(outputs),
                "taken": Out(outputs),
                "o": Out(stream.Signature(BYTE)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Fetch a byte, offer it: two cycles each."""
        m = Module()
        config = self.config
        m.submodules.check = check = CHECKSUM(BYTE).create()
        length = Signal(2 * BYTE)
        with m.If(self.status != AnswerStatus.OK):
            m.d.comb += length.eq(0)
        with m.Elif(self.kind == RequestKind.CLASSIFY):
            m.d.comb += length.eq(config.answer_bytes)
        with m.Else():
            m.d.comb += length.eq(len(config.identity_payload))
        header = Array([SYNC, VERSION, self.status, self.sequence, length[:BYTE], length[BYTE:]])
        number, value = Signal(2 * BYTE), Signal(BYTE)
        sent = Signal()
        result_byte = self._results(m, sent)
        identity = Array(C(byte, BYTE) for byte in config.identity_payload)
        checksum = Signal(WORD)
        m.d.comb += self.o.payload.eq(value)
        with m.FSM():
            with m.State("wait"):
                m.d.comb += check.start.eq(1)
                m.d.sync += number.eq(0)
                with m.If(self.start):
                    m.next = "header"
            with m.State("header"):
                m.d.sync += value.eq(header[number])
                m.next = "header sent"
            with m.State("header sent"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    check.data.eq(value),
                    check.valid.eq(self.o.ready & (number != 0)),
                ]
                with m.If(self.o.ready):
                    m.d.sync += number.eq(number + 1)
                    m.next = "header"
                    with m.If(number == HEADER_BYTES - 1):
                        m.d.sync += number.eq(0)
                        m.next = "look"
            with m.State("look"):
                m.next = "payload"
                with m.If(number == length):
                    m.d.sync += [number.eq(0), checksum.eq(check.crc)]
                    m.next = "checksum"
            with m.State("payload"):
                m.d.sync += value.eq(
                    Mux(self.kind == RequestKind.CLASSIFY, result_byte, identity[number])
                )
                m.next = "payload sent"
            with m.State("payload sent"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    check.data.eq(value),
                    check.valid.eq(self.o.ready),
                ]
                m.d.comb += sent.eq(self.o.ready)
                with m.If(self.o.ready):
                    m.d.sync += number.eq(number + 1)
                    m.next = "look"
            with m.State("checksum"):
                m.d.sync += [value.eq(checksum[:BYTE]), checksum.eq(checksum[BYTE:])]
                m.next = "checksum sent"
            with m.State("checksum sent"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += number.eq(number + 1)
                    m.next = "checksum"
                    with m.If(number == CHECKSUM_BYTES - 1):
                        m.d.comb += self.done.eq(1)
                        m.next = "wait"
        return m

    def _results(self, m: Module, sent: Signal) -> Signal:
        """Select the next byte of the outputs, one after the other, and of the cycles."""
        count = len(self.config.outputs)
        output, rest, result_byte = Signal(range(count + 1)), Signal(2), Signal(BYTE)
        ends = output == count
        m.d.comb += result_byte.eq(self.cycles.word_select(rest, BYTE))
        with m.If(sent & ends):
            m.d.sync += rest.eq(rest + 1)
        for number in range(count):
            with m.If(output == number):
                m.d.comb += [
                    result_byte.eq(self.results[number]),
                    self.taken[number].eq(sent),
                ]
                with m.If(sent & self.last[number]):
                    m.d.sync += output.eq(number + 1)
        with m.If(self.start):
            m.d.sync += [output.eq(0), rest.eq(0)]
        return result_byte
