"""The reader of one array row, with its part of the window buffer."""

from collections.abc import Sequence

from amaranth import C, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.delay import delay_payload
from systolith.gateware.parameters import (
    ParameterMemory,
    ParameterTable,
    connect_load_chain,
    load_ports,
)
from systolith.gateware.primitives import RegisteredRam
from systolith.gateware.window.window_buffer import step_layout
from systolith.plan import Tap, WindowedEngine

__all__ = ["RowReader", "mark_layout", "tap_layout", "tap_table"]


class RowReader(wiring.Component):
    """The activation memory of one array row, and its read at each step.

    With `words` above 1, pass p reads word p of each pixel instead of the word that its tap names.

    Members
    -------
    write, address, word : ``In(1)``, ``In(range(plan.buffer_depth))``, ``In(layout)``
        Word for this row's bank, from :class:`WindowWriter`.
    step : ``In(step_layout(plan))``
    acts : ``Out(layout)``
        Activations at the tap; `fill` in the padding.
    marks : ``Out(mark_layout(plan.marks))``
        What PEs must know about `acts`, in their cycle; only if `plan` has marks.
    load_i, load_o, full
        See :class:`ParameterMemory`; only if the table of taps is loadable.

    Timing
    ------
    `acts` :attr:`LATENCY` cycles after `step`. Throughput: one per cycle.
    """

    LATENCY = 6

    write: Signal
    address: Signal
    word: data.View
    step: data.View
    acts: data.View
    marks: data.View
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
        if plan.marks:
            members["marks"] = Out(mark_layout(plan.marks))
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """Registers: two of the table of taps, address, two of the memory, output."""
        m = Module()
        plan, step = self.plan, self.step
        m.submodules.taps = table = ParameterMemory(self.taps, loadable=self.loadable)
        m.submodules.memory = store = RegisteredRam(
            width=self.layout.size, depth=plan.buffer_depth, kind=plan.window_memory
        )
        tap = data.View(tap_layout(plan), table.word)
        tap_latency = ParameterMemory.LATENCY
        origin = delay_payload(m, step.address, tap_latency, "origin")
        number = step.number if self.words > 1 else C(0, 0)
        pass_word = delay_payload(m, number, tap_latency, "pass_word")
        rows = delay_payload(m, step.rows, tap_latency, "rows")
        columns = delay_payload(m, step.columns, tap_latency, "columns")
        address = Signal(range(plan.buffer_depth), reset_less=True)
        inside = rows.bit_select(tap.row, 1) & columns.bit_select(tap.column, 1)
        # A register resets the activations, not its complement, which would be a LUT in between.
        outside = delay_payload(m, ~inside, 1 + RegisteredRam.LATENCY, "outside")
        m.d.comb += [
            table.address.eq(step.fold),
            store.write_enable.eq(self.write),
            store.write_address.eq(self.address),
            store.write_data.eq(self.word),
            store.read_address.eq(address),
        ]
        m.d.sync += address.eq(origin + tap.offset + pass_word)
        acts = Mux(outside, self._fill_word(), store.read_data)
        m.d.comb += self.acts.eq(delay_payload(m, acts, 1, "acts"))
        if "outside" in plan.marks:
            m.d.comb += self.marks.outside.eq(delay_payload(m, outside, 1, "outside_mark"))
        if "idle" in plan.marks:
            idle = delay_payload(m, tap.idle, 2 + RegisteredRam.LATENCY, "idle")
            m.d.comb += self.marks.idle.eq(idle)
        if self.loadable:
            connect_load_chain(m, self, [table])
        return m

    def _fill_word(self) -> data.Const:
        return self.layout.const([self.fill] * self.layout.length)


def tap_layout(plan: WindowedEngine) -> data.StructLayout:
    """Layout of an entry of a row's table of taps: what the row reads in one fold.

    offset : words of the buffer from the window's origin, modulo its depth.
    row, column : kernel position.
    idle : whether the row has no part of the sum; only if PEs must know.
    """
    kh, kw = plan.window.kernel
    idle = {"idle": 1} if "idle" in plan.marks else {}
    return data.StructLayout(
        {"offset": range(plan.buffer_depth), "row": range(kh), "column": range(kw), **idle}
    )


def mark_layout(marks: Sequence[str]) -> data.StructLayout:
    """Layout of what a row says about the activations that it reads: a bit for each mark."""
    return data.StructLayout(dict.fromkeys(marks, 1))


def tap_table(plan: WindowedEngine, taps: Sequence[Tap], name: str = "taps") -> ParameterTable:
    """Encode a row's taps as words of memory, one for each fold."""
    layout = tap_layout(plan)
    words = []
    for tap in taps:
        pixel = plan.window.offset(tap.row, tap.column)
        offset = (pixel * plan.words_per_pixel + tap.word) % plan.buffer_depth
        idle = {"idle": int(tap.idle)} if "idle" in plan.marks else {}
        word = layout.const({"offset": offset, "row": tap.row, "column": tap.column, **idle})
        words.append(word.as_bits())
    return ParameterTable(name=name, width=layout.size, words=tuple(words))
