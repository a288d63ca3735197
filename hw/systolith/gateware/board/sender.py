"""Sender of answers, byte by byte."""

from amaranth import Array, C, Cat, Module, Mux, Signal, signed
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
CLASS_BITS = 16


class AnswerSender(wiring.Component):
    """Send a packet: header, payload, checksum.

    Members
    -------
    start : ``In(1)``
        1 for one cycle: send an answer.
    status, kind, sequence, cycles : ``In(AnswerStatus)``, ``In(8)``, ``In(8)``, ``In(32)``
        Must not change until `done`.
    address : ``Out(range(transfers))``
    word : ``In(layout)``
        Results, one cycle after `address`.
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
    address: Signal
    word: data.View
    o: stream.Interface
    done: Signal

    def __init__(self, config: BoardConfig, layout: data.ArrayLayout) -> None:
        self.config, self.layout = config, layout
        super().__init__(
            {
                "start": In(1),
                "status": In(AnswerStatus),
                "kind": In(BYTE),
                "sequence": In(BYTE),
                "cycles": In(WORD),
                "address": Out(range(config.transfers_out)),
                "word": In(layout),
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
        """Select the next byte of outputs, class and cycles; compare outputs as they pass."""
        config = self.config
        place, output = Signal(2), Signal(range(config.outputs + 1))
        lane, transfer = Signal(range(config.lanes_out)), Signal(range(config.transfers_out))
        value, best = Signal(self.layout.elem_shape), Signal(self.layout.elem_shape)
        wide, winner = Signal(signed(WORD)), Signal(CLASS_BITS)
        rest, result_byte = Signal(3), Signal(BYTE)
        outputs = output != config.outputs
        m.d.comb += [
            self.address.eq(transfer),
            value.eq(self.word[lane]),
            wide.eq(value),
            result_byte.eq(wide.as_unsigned().word_select(place, BYTE)),
        ]
        with m.If(~outputs):
            m.d.comb += result_byte.eq(Cat(winner, self.cycles).word_select(rest, BYTE))
        with m.If(sent & outputs):
            m.d.sync += place.eq(place + 1)
            with m.If(place == 3):
                m.d.sync += [output.eq(output + 1), lane.eq(lane + 1)]
                with m.If((output == 0) | (value > best)):
                    m.d.sync += [best.eq(value), winner.eq(value if config.gives_class else output)]
                with m.If(lane == config.lanes_out - 1):
                    m.d.sync += [lane.eq(0), transfer.eq(transfer + 1)]
        with m.If(sent & ~outputs):
            m.d.sync += rest.eq(rest + 1)
        with m.If(self.start):
            m.d.sync += [register.eq(0) for register in (place, output, lane, transfer, rest)]
        return result_byte
