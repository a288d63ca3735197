"""The values of one output as the bytes of an answer."""

from amaranth import Module, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import CLASS_BYTES, OutputConfig
from systolith.gateware.board.result_store import result_layout

__all__ = ["ResultBytes"]

BYTE = 8


class ResultBytes(wiring.Component):
    """Read a store value by value, and find the greatest value of a vector on the way.

    Members
    -------
    start : ``In(1)``
        1 for one cycle: the next byte is the first.
    address : ``Out(range(transfers))``
    word : ``In(layout)``
        Results, one cycle after `address`.
    byte : ``Out(8)``
        Next byte: the values pixel by pixel, channels innermost, then the class of a vector. Of
        equal values, the first is the class.
    taken : ``In(1)``
        1 for one cycle: `byte` was sent.
    last : ``Out(1)``
        Whether `byte` is the last.

    Timing
    ------
    `byte` is valid two cycles after `taken`.
    """

    start: Signal
    address: Signal
    word: data.View
    byte: Signal
    taken: Signal
    last: Signal

    def __init__(self, config: OutputConfig) -> None:
        self.config, self.layout = config, result_layout(config)
        super().__init__(
            {
                "start": In(1),
                "address": Out(range(config.transfers)),
                "word": In(self.layout),
                "byte": Out(BYTE),
                "taken": In(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Count bytes, lanes, channels and transfers."""
        m = Module()
        config = self.config
        place, lane = Signal(range(config.value_bytes)), Signal(range(config.lanes))
        channel, transfer = Signal(range(config.channels)), Signal(range(config.transfers))
        value = Signal(self.layout.elem_shape)
        wide = Signal(Shape(BYTE * config.value_bytes, signed=config.signed))
        value_ends, pixel_ends, values_end = Signal(), Signal(), Signal()
        m.d.comb += [
            self.address.eq(transfer),
            value.eq(self.word[lane]),
            wide.eq(value),
            self.byte.eq(wide.as_unsigned().word_select(place, BYTE)),
            value_ends.eq(place == config.value_bytes - 1),
            pixel_ends.eq(channel == config.channels - 1),
            values_end.eq(value_ends & pixel_ends & (transfer == config.transfers - 1)),
        ]
        counters = [place, lane, channel, transfer]
        sending = self.taken
        if config.has_class:
            sending, states = self._send_class(m, value, value_ends, values_end)
            counters += states
        else:
            m.d.comb += self.last.eq(values_end)
        with m.If(sending):
            m.d.sync += place.eq(place + 1)
            with m.If(value_ends):
                m.d.sync += [place.eq(0), channel.eq(channel + 1), lane.eq(lane + 1)]
                with m.If(pixel_ends):
                    m.d.sync += channel.eq(0)
                with m.If(pixel_ends | (lane == config.lanes - 1)):
                    m.d.sync += [lane.eq(0), transfer.eq(transfer + 1)]
        with m.If(self.start):
            m.d.sync += [counter.eq(0) for counter in counters]
        return m

    def _send_class(
        self, m: Module, value: Signal, value_ends: Signal, values_end: Signal
    ) -> tuple[Signal, list[Signal]]:
        """Compare values as they pass, and send the class behind them.

        Returns
        -------
        sending, states : Signal, list of Signal
            Whether a byte of a value is taken, and registers that `start` clears.
        """
        best, winner = Signal(value.shape()), Signal(BYTE * CLASS_BYTES)
        number, rest = Signal(BYTE * CLASS_BYTES), Signal(range(CLASS_BYTES))
        over, sending = Signal(), Signal()
        m.d.comb += [sending.eq(self.taken & ~over), self.last.eq(over & (rest == CLASS_BYTES - 1))]
        with m.If(over):
            m.d.comb += self.byte.eq(winner.word_select(rest, BYTE))
        with m.If(self.taken & over):
            m.d.sync += rest.eq(rest + 1)
        with m.If(sending & value_ends):
            m.d.sync += number.eq(number + 1)
            with m.If((number == 0) | (value > best)):
                chosen = value if self.config.gives_class else number
                m.d.sync += [best.eq(value), winner.eq(chosen)]
        with m.If(sending & values_end):
            m.d.sync += over.eq(1)
        return sending, [number, rest, over]
