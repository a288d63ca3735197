"""The circular buffer of windows: the part that writes it and the part that issues reads."""

from amaranth import C, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.delay import delay_payload
from systolith.gateware.window.walker import FreedCounter, WindowWalker, window_layout
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
        All reads of one output pixel have happened, see :class:`FreedCounter`.
    write : ``Out(banks)``
        Banks that are written in this cycle.
    address, word : ``Out(range(plan.buffer_depth))``, ``Out(act_word(act, plan.lanes_in))``
        Address and contents of the write.
    arrived : ``Out(plan.position_bits)``
        Number of pixels completely written since reset, modulo.

    Timing
    ------
    `write` and `arrived` follow one cycle after the transfer. ``i.ready`` is a register, so freed
    pixels count one cycle later.
    """

    i: stream.Interface
    done: Signal
    write: Signal
    address: Signal
    word: data.View
    arrived: Signal

    def __init__(self, plan: WindowedEngine, act: ActType) -> None:
        self.plan = plan
        super().__init__(
            {
                "i": In(act_stream(act, plan.lanes_in)),
                "done": In(1),
                "write": Out(plan.banks),
                "address": Out(range(plan.buffer_depth)),
                "word": Out(act_word(act, plan.lanes_in)),
                "arrived": Out(plan.position_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Deal transfers to the banks in turn; a word is complete after the last bank."""
        m = Module()
        plan = self.plan
        m.submodules.freed_counter = freed = FreedCounter(plan)
        turns = plan.banks // plan.banks_per_transfer
        turn, word = Signal(range(turns)), Signal(range(plan.words_per_pixel))
        address = Signal(range(plan.buffer_depth))
        ready = Signal(init=1)
        taken, last_turn, completes = Signal(), Signal(), Signal()
        # Pixels that have arrived beyond the limit; negative if there is room.
        beyond = Signal(signed(plan.position_bits))
        m.d.comb += [
            freed.done.eq(self.done),
            beyond.eq(self.arrived - freed.limit),
            self.i.ready.eq(ready),
            taken.eq(self.i.valid & ready),
            last_turn.eq(turn == turns - 1),
            completes.eq(taken & last_turn & (word == plan.words_per_pixel - 1)),
        ]
        selected = C((1 << plan.banks_per_transfer) - 1, plan.banks)
        written = selected << (turn * plan.banks_per_transfer)
        m.d.sync += [
            ready.eq((beyond < 0) & ~(completes & (beyond == -1))),
            self.write.eq(Mux(taken, written, 0)),
            self.arrived.eq(self.arrived + completes),
        ]
        m.d.comb += [
            self.address.eq(delay_payload(m, address, 1, "address")),
            self.word.eq(delay_payload(m, self.i.payload, 1, "word")),
        ]
        with m.If(taken):
            m.d.sync += turn.eq(Mux(last_turn, 0, turn + 1))
            with m.If(last_turn):
                m.d.sync += [address.eq(address + 1), word.eq(Mux(completes, 0, word + 1))]
        return m


class Sequencer(wiring.Component):
    """Issue the steps of each output pixel as soon as its window has arrived and room is reserved.

    Members
    -------
    arrived : ``In(plan.position_bits)``
        From :class:`WindowWriter`.
    room : ``In(1)``
        Whether room for the results of a pass is reserved.
    start : ``Out(1)``
        A pass starts in this cycle.
    step : ``Out(step_layout(plan))``

    Timing
    ------
    A pass starts in the first cycle in which `room` is 1, the previous pass has ended, and the
    window arrived at least one cycle earlier. Its steps then follow each other without a pause.
    `step` follows one cycle after its issue.
    """

    arrived: Signal
    room: Signal
    start: Signal
    step: data.View

    def __init__(self, plan: WindowedEngine) -> None:
        self.plan = plan
        super().__init__(
            {
                "arrived": In(plan.position_bits),
                "room": In(1),
                "start": Out(1),
                "step": Out(step_layout(plan)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Nest the counters: passes of a pixel, folds of a pass, slots of a fold."""
        m = Module()
        plan = self.plan
        m.submodules.walker = walker = WindowWalker(plan)
        coming, window = walker.o.payload, Signal(window_layout(plan), reset_less=True)
        present, complete, leaves = Signal(), Signal(), Signal()
        slot, fold = Signal(range(plan.slot_folds)), Signal(range(plan.folds))
        number, word = Signal(range(plan.passes)), Signal(range(plan.steps))
        last, last_slot, last_pass = Signal(), Signal(), Signal()
        ahead = Signal(signed(plan.position_bits))
        first, issue = Signal(init=1), Signal()
        m.d.comb += [
            ahead.eq(self.arrived - coming.needed),
            complete.eq(walker.o.valid & (ahead >= 0)),
            walker.o.ready.eq((ahead >= 0) & (leaves | ~present)),
            last_slot.eq(slot == plan.slot_folds - 1),
            last.eq(last_slot & (fold == plan.folds - 1)),
            last_pass.eq(number == plan.passes - 1),
            self.start.eq(first & present & self.room),
            issue.eq(self.start | ~first),
            leaves.eq(issue & last & last_pass),
        ]
        with m.If(leaves | ~present):
            m.d.sync += [present.eq(complete), window.eq(coming)]
        with m.If(issue):
            m.d.sync += [first.eq(last), slot.eq(slot + 1), word.eq(word + 1)]
            with m.If(last_slot):
                m.d.sync += [slot.eq(0), fold.eq(fold + 1)]
            with m.If(last):
                m.d.sync += [fold.eq(0), number.eq(number + 1)]
                with m.If(last_pass):
                    m.d.sync += [number.eq(0), word.eq(0)]
        m.d.sync += [
            self.step.address.eq(window.address),
            self.step.rows.eq(window.rows),
            self.step.columns.eq(window.columns),
            self.step.fold.eq(fold),
            self.step.word.eq(word),
            self.step.number.eq(number),
            self.step.first.eq(first & issue),
            self.step.last.eq(last & issue),
            self.step.done.eq(last & last_pass & issue),
        ]
        return m
