"""One stream for several readers."""

from functools import reduce
from operator import and_

from amaranth import Module, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.deep_queue import DeepQueue
from systolith.gateware.streams import act_stream
from systolith.plan import ForkPlan

__all__ = ["Fork"]


class Fork(wiring.Component):
    """Copies each transfer into a queue per reader.

    Members
    -------
    i : ``In(act_stream(act, plan.lanes))``
    o : ``Out(act_stream(act, plan.lanes)).array(len(plan.depths))``

    Timing
    ------
    Latency: ``plan.latencies`` cycles. Throughput: one transfer per cycle. A transfer is taken when
    every queue has room; one that leaves makes room in the next cycle. No combinational path
    between `i` and `o`.
    """

    i: stream.Interface
    o: list[stream.Interface]

    def __init__(self, plan: ForkPlan) -> None:
        self.plan = plan
        acts = act_stream(plan.tensor.type, plan.lanes)
        super().__init__({"i": In(acts), "o": Out(acts).array(len(plan.depths))})

    def elaborate(self, platform: object) -> Module:
        """Write all queues at once."""
        m = Module()
        width = self.i.payload.as_value().shape().width
        readies = []
        taken = Signal()
        plan = self.plan
        for number, (depth, deep) in enumerate(zip(plan.depths, plan.deep, strict=True)):
            reader = self.o[number]
            name = f"queue_{number}"
            if deep:
                m.submodules[name] = deep_queue = DeepQueue(width, depth)
                readies.append(deep_queue.i.ready)
                m.d.comb += [
                    deep_queue.i.payload.eq(self.i.payload),
                    deep_queue.i.valid.eq(taken),
                    reader.payload.eq(deep_queue.o.payload),
                    reader.valid.eq(deep_queue.o.valid),
                    deep_queue.o.ready.eq(reader.ready),
                ]
            else:
                m.submodules[name] = queue = fifo.SyncFIFO(width=width, depth=depth)
                readies.append(queue.w_rdy)
                m.d.comb += [
                    queue.w_data.eq(self.i.payload),
                    queue.w_en.eq(taken),
                    reader.payload.eq(queue.r_data),
                    reader.valid.eq(queue.r_rdy),
                    queue.r_en.eq(reader.ready),
                ]
        m.d.comb += [
            self.i.ready.eq(reduce(and_, readies)),
            taken.eq(self.i.valid & self.i.ready),
        ]
        return m
