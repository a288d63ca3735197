"""What one row of an array reads from its part of the window buffer."""

from collections.abc import Sequence

from amaranth import Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.delay import payload
from systolith.gateware.memory_style import memory_style
from systolith.gateware.parameters import ParameterMemory, ParameterTable, lead_through, load_ports
from systolith.gateware.window_buffer import step_layout
from systolith.plan import Tap, WindowedEngine

__all__ = ["RowReader", "tap_layout", "tap_table"]


class RowReader(wiring.Component):
    """The memory of one array row, and what the row reads from it at each step.

    With `words` above 1, pass p reads word p of each pixel rather than the one its tap names.

    Members
    -------
    write, address, word : ``In(1)``, ``In(range(plan.buffer_depth))``, ``In(layout)``
        From :class:`WindowWriter`: the word for this row's bank.
    step : ``In(step_layout(plan))``
    acts : ``Out(layout)``
        Activations of the tap; `fill` in the padding.
    load_i, load_o, full
        See :class:`ParameterMemory`; only if the table of taps is loadable.

    Timing
    ------
    `acts` :attr:`LATENCY` cycles after `step`. Throughput: one per cycle.
    """

    LATENCY = 4

    write: Signal
    address: Signal
    word: data.View
    step: data.View
    acts: data.View
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(
        self,
        plan: WindowedEngine,
        layout: data.ArrayLayout,
        taps: ParameterTable,
        *,
        fill: int,
        words: int = 1,
        loadable: bool = False,
    ) -> None:
        self.plan, self.layout, self.taps = plan, layout, taps
        self.fill, self.words, self.loadable = fill, words, loadable
        members = {
            "write": In(1),
            "address": In(range(plan.buffer_depth)),
            "word": In(layout),
            "step": In(step_layout(plan)),
            "acts": Out(layout),
        }
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """Four registers: table of taps, address, memory, output."""
        m = Module()
        plan, step = self.plan, self.step
        m.submodules.taps = table = ParameterMemory(self.taps, loadable=self.loadable)
        m.submodules.memory = store = memory.Memory(
            shape=self.layout,
            depth=plan.buffer_depth,
            init=[],
            attrs=memory_style(plan.window_memory),
        )
        write_port, read_port = store.write_port(), store.read_port()
        tap = data.View(tap_layout(plan), table.word)
        origin = payload(m, step.address, 1, "origin")
        pass_word = Signal(range(self.words), reset_less=True)
        rows, columns = payload(m, step.rows, 1, "rows"), payload(m, step.columns, 1, "columns")
        inside = rows.bit_select(tap.row, 1) & columns.bit_select(tap.column, 1)
        inside = payload(m, inside, 2, "inside")
        m.d.comb += [
            table.address.eq(step.fold),
            write_port.en.eq(self.write),
            write_port.addr.eq(self.address),
            write_port.data.eq(self.word),
            read_port.en.eq(1),
        ]
        m.d.sync += [
            pass_word.eq(step.number),
            read_port.addr.eq(origin + tap.offset + pass_word),
            self.acts.eq(Mux(inside, read_port.data, self._filled())),
        ]
        if self.loadable:
            lead_through(m, self, [table])
        return m

    def _filled(self) -> data.Const:
        return self.layout.const([self.fill] * self.layout.length)


def tap_layout(plan: WindowedEngine) -> data.StructLayout:
    """Describe what a row knows of a fold.

    offset : words of the buffer from the window's origin, modulo its depth.
    row, column : kernel position.
    """
    kh, kw = plan.window.kernel
    return data.StructLayout(
        {"offset": range(plan.buffer_depth), "row": range(kh), "column": range(kw)}
    )


def tap_table(plan: WindowedEngine, taps: Sequence[Tap], name: str = "taps") -> ParameterTable:
    """Lay a row's taps out as words of memory, one for each fold."""
    layout = tap_layout(plan)
    words = []
    for tap in taps:
        pixel = tap.row * plan.window.width + tap.column
        offset = (pixel * plan.words_per_pixel + tap.word) % plan.buffer_depth
        values = {"offset": offset, "row": tap.row, "column": tap.column}
        words.append(sum(value << layout[field].offset for field, value in values.items()))
    return ParameterTable(name=name, width=layout.size, words=tuple(words))
