"""The circular buffer of windows: the part that writes it and the part that issues reads."""

from amaranth import C, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.counting import add_and_carry, count_laps
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.streams.double_buffer import DoubleBuffer
from systolith.gateware.window.walker import FreedPixels, WindowWalker, window_layout
from systolith.network import ActType
from systolith.plan import WindowedEngine

__all__ = ["Sequencer", "WindowWriter", "step_layout"]


def step_layout(plan: WindowedEngine) -> data.StructLayout:
    """Layout of one step: what every row reads in one cycle, and which weights it meets.

    address, rows, columns : see :func:`window_layout`.
    fold : index into each row's table of taps.
    word : step number within the pixel: the address of the weights.
    number : pass number within the pixel.
    first, last : ends of a pass; both 0 if there is no step.
    done : last step of the pixel; 0 if there is none.
    """
    window = window_layout(plan)
    kh, kw = plan.window.kernel
    return data.StructLayout(
        {
            "address": window["address"].shape,
            "rows": kh,
            "columns": kw,
            "fold": range(plan.folds),
            "word": range(plan.steps),
            "number": range(plan.passes),
            "first": 1,
            "last": 1,
            "done": 1,
        }
    )


class WindowWriter(wiring.Component):
    """Accept pixels while there is room, and address the memories that each transfer goes to.

    Members
    -------
    i : ``In(act_stream(act, plan.lanes_in))``
    done : ``In(1)``
        All reads of one output pixel have happened, see :class:`FreedPixels`.
    write : ``Out(banks)``
        Banks that are written in this cycle.
    address, word : ``Out(range(plan.buffer_depth))``, ``Out(act_word(act, plan.lanes_in))``
        Address and contents of the write.
    arrives : ``Out(1)``
        A pixel is complete with the write of the next cycle.

    Timing
    ------
    `write` follows two cycles after the transfer, and `arrives` one cycle. ``i.ready`` is a
    register, so freed pixels count one cycle later.
    """

    i: stream.Interface
    done: Signal
    write: Signal
    address: Signal
    word: data.View
    arrives: Signal

    def __init__(self, plan: WindowedEngine, act: ActType) -> None:
        self.plan = plan
        super().__init__(
            {
                "i": In(act_stream(act, plan.lanes_in)),
                "done": In(1),
                "write": Out(plan.banks),
                "address": Out(range(plan.buffer_depth)),
                "word": Out(act_word(act, plan.lanes_in)),
                "arrives": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Deal transfers to the banks in turn; a word is complete after the last bank."""
        m = Module()
        plan, bits = self.plan, self.plan.position_bits
        m.submodules.freed_pixels = freed = FreedPixels(plan)
        ready, taken, completes = Signal(init=1), Signal(), Signal()
        turns = plan.banks // plan.banks_per_transfer
        _, last = count_laps(m, turns * plan.words_per_pixel, taken, "transfer")
        m.d.comb += [
            freed.done.eq(self.done),
            self.i.ready.eq(ready),
            taken.eq(self.i.valid & ready),
            completes.eq(taken & last),
            self.arrives.eq(delay(m, completes, 1, "arrives")),
        ]
        # Pixels that have arrived beyond those that may, without the one that has just arrived, and
        # one more: negative if there is room for one pixel, or for two.
        beyond = [
            Signal(signed(bits), name=f"beyond_{more}", init=more - plan.capacity)
            for more in (0, 1)
        ]
        following = [add_and_carry(value, freed.freed, self.arrives) for value in beyond]
        m.d.sync += [value.eq(after) for value, after in zip(beyond, following, strict=True)]
        m.d.sync += ready.eq(Mux(completes, following[1][-1], following[0][-1]))
        taken = delay(m, taken, 1, "taken")
        turn, last_turn = count_laps(m, turns, taken, "turn")
        address = Signal(range(plan.buffer_depth))
        with m.If(taken & last_turn):
            m.d.sync += address.eq(address + 1)
        selected = C((1 << plan.banks_per_transfer) - 1, plan.banks)
        written = selected << (turn * plan.banks_per_transfer)
        m.d.sync += self.write.eq(Mux(taken, written, 0))
        m.d.comb += [
            self.address.eq(delay_payload(m, address, 1, "address")),
            self.word.eq(delay_payload(m, self.i.payload, 2, "word")),
        ]
        return m


class Sequencer(wiring.Component):
    """Issue the steps of each output pixel as soon as its window has arrived and room is reserved.

    Members
    -------
    arrives : ``In(1)``
        From :class:`WindowWriter`.
    room : ``In(1)``
        Whether room for the results of a pass is reserved.
    start : ``Out(1)``
        A pass starts in this cycle.
    step : ``Out(step_layout(plan))``

    Timing
    ------
    A pass starts in the first cycle in which `room` is 1, the previous pass has ended, and the
    window arrived at least two cycles earlier. Its steps then follow each other without a pause.
    `step` follows one cycle after its issue. No combinational path from `arrives`.
    """

    arrives: Signal
    room: Signal
    start: Signal
    step: data.View

    def __init__(self, plan: WindowedEngine) -> None:
        self.plan = plan
        super().__init__(
            {
                "arrives": In(1),
                "room": In(1),
                "start": Out(1),
                "step": Out(step_layout(plan)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Decide with few flags; the counters of the steps follow one cycle later."""
        m = Module()
        plan, layout = self.plan, window_layout(self.plan)
        m.submodules.walker = walker = WindowWalker(plan)
        m.submodules.windows = windows = DoubleBuffer(layout.size, 1)
        first, issue, leaves = Signal(init=1), Signal(), Signal()
        _, last = count_laps(m, plan.pass_cycles, issue, "position")
        _, last_pass = count_laps(m, plan.passes, issue & last, "pass")
        m.d.comb += [
            walker.arrives.eq(self.arrives),
            walker.o.ready.eq(windows.ready),
            windows.write.eq(walker.o.valid & windows.ready),
            windows.data.eq(walker.o.payload),
            windows.complete.eq(1),
            self.start.eq(first & windows.full & self.room),
            issue.eq(self.start | ~first),
            leaves.eq(issue & last & last_pass),
            windows.emptied.eq(leaves),
        ]
        with m.If(issue):
            m.d.sync += first.eq(last)
        issued = delay(m, issue, 1, "issued")
        first_step, last_step = Signal(), Signal()
        m.d.sync += [first_step.eq(self.start), last_step.eq(last & issue)]
        window = data.View(layout, delay_payload(m, windows.contents, 1, "window"))
        _, last_slot = count_laps(m, plan.slot_folds, issued, "slot")
        fold, _ = count_laps(m, plan.folds, issued & last_slot, "fold")
        number, _ = count_laps(m, plan.passes, last_step, "number")
        word, _ = count_laps(m, plan.steps, issued, "word")
        m.d.comb += [
            self.step.address.eq(window.address),
            self.step.rows.eq(window.rows),
            self.step.columns.eq(window.columns),
            self.step.fold.eq(fold),
            self.step.word.eq(word),
            self.step.number.eq(number),
            self.step.first.eq(first_step),
            self.step.last.eq(last_step),
            self.step.done.eq(delay(m, leaves, 1, "done")),
        ]
        return m
