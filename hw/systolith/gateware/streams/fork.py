"""One stream for several readers."""

from functools import reduce
from operator import and_

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream
from systolith.gateware.streams.deep_queue import DeepQueue
from systolith.gateware.streams.short_queue import ShortQueue
from systolith.plan import ForkPlan

__all__ = ["Fork"]


class Fork(wiring.Component):
    """Copy each transfer into one queue per reader.

    Members
    -------
    i : ``In(act_stream(act, plan.lanes))``
    o : ``Out(act_stream(act, plan.lanes)).array(len(plan.depths))``

    Timing
    ------
    Latency: ``plan.latencies`` cycles. Throughput: one transfer per cycle. A transfer is taken when
    every queue has room; a leaving transfer makes room ``plan.room_latencies`` cycles later. No
    combinational path between `i` and `o`.
    """

    i: stream.Interface
    o: list[stream.Interface]

    def __init__(self, plan: ForkPlan) -> None:
        self.plan = plan
        acts = act_stream(plan.output.type, plan.lanes)
        super().__init__({"i": In(acts), "o": Out(acts).array(len(plan.depths))})

    def elaborate(self, platform: object) -> Module:
        """Write all queues at once."""
        m = Module()
        plan = self.plan
        width = self.i.payload.as_value().shape().width
        entrances, taken = [], Signal()
        for number, (depth, deep) in enumerate(zip(plan.depths, plan.deep, strict=True)):
            queue = DeepQueue(width, depth) if deep else ShortQueue(width, depth)
            m.submodules[f"queue_{number}"] = queue
            entrances.append(queue.i)
            reader = self.o[number]
            m.d.comb += [
                queue.i.payload.eq(self.i.payload),
                queue.i.valid.eq(taken),
                reader.payload.eq(queue.o.payload),
                reader.valid.eq(queue.o.valid),
                queue.o.ready.eq(reader.ready),
            ]
        m.d.comb += [
            self.i.ready.eq(reduce(and_, (entrance.ready for entrance in entrances))),
            taken.eq(self.i.valid & self.i.ready),
        ]
        return m
