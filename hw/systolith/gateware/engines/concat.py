"""The engine of a concatenation."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream
from systolith.gateware.streams.short_queue import ShortQueue
from systolith.plan import ConcatPlan

__all__ = ["ConcatEngine"]


class ConcatEngine(wiring.Component):
    """For each pixel, pass on the transfers of the first stream, then those of the next.

    Golden model: :func:`systolith.network.apply_layer` of a Concat, bit for bit.

    Members
    -------
    i : streams, ``In(act_stream(plan.inputs[n].type, plan.lanes))``, as ``i_0``, ``i_1``, ...
    o : ``Out(act_stream(plan.output.type, plan.lanes))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle, through a queue of ``plan.depth`` transfers. Throughput: one
    transfer per cycle. No combinational path between inputs and output.
    """

    LATENCY = 1

    o: stream.Interface

    def __init__(self, plan: ConcatPlan) -> None:
        self.plan = plan
        members = {
            f"i_{number}": In(act_stream(tensor.type, plan.lanes))
            for number, tensor in enumerate(plan.inputs)
        }
        super().__init__(members | {"o": Out(act_stream(plan.output.type, plan.lanes))})

    @property
    def inputs(self) -> list[stream.Interface]:
        """Streams of the inputs, in their order."""
        return [getattr(self, f"i_{number}") for number in range(len(self.plan.inputs))]

    def elaborate(self, platform: object) -> Module:
        """Count the transfers of a turn, and the turns of a pixel."""
        m = Module()
        plan = self.plan
        width = self.o.payload.as_value().shape().width
        m.submodules.queue = queue = ShortQueue(width, plan.depth)
        turn, transfer = Signal(range(len(plan.turns))), Signal(range(max(plan.turns)))
        taken, last = Signal(), Signal()
        with m.Switch(turn):
            for number, source in enumerate(self.inputs):
                with m.Case(number):
                    m.d.comb += [
                        queue.i.payload.eq(source.payload),
                        queue.i.valid.eq(source.valid),
                        source.ready.eq(queue.i.ready),
                        last.eq(transfer == plan.turns[number] - 1),
                    ]
        m.d.comb += [
            taken.eq(queue.i.valid & queue.i.ready),
            self.o.payload.eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready),
        ]
        with m.If(taken):
            m.d.sync += transfer.eq(transfer + 1)
            with m.If(last):
                m.d.sync += [transfer.eq(0), turn.eq(turn + 1)]
                with m.If(turn == len(plan.turns) - 1):
                    m.d.sync += turn.eq(0)
        return m
