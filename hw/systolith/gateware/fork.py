"""One stream for several readers."""

from amaranth import Module
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

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
        """Write all queues at once; deep ones have an output register, as block memory needs."""
        m = Module()
        width = self.i.payload.as_value().shape().width
        queues: list[fifo.FIFOInterface] = []
        for number, (depth, deep) in enumerate(zip(self.plan.depths, self.plan.deep, strict=True)):
            kind = fifo.SyncFIFOBuffered if deep else fifo.SyncFIFO
            queue = kind(width=width, depth=depth)
            m.submodules[f"queue_{number}"] = queue
            queues.append(queue)
        ready = True
        for queue in queues:
            ready = ready & queue.w_rdy
        m.d.comb += self.i.ready.eq(ready)
        for queue, reader in zip(queues, self.o, strict=True):
            m.d.comb += [
                queue.w_data.eq(self.i.payload),
                queue.w_en.eq(self.i.valid & self.i.ready),
                reader.payload.eq(queue.r_data),
                reader.valid.eq(queue.r_rdy),
                queue.r_en.eq(reader.ready),
            ]
        return m
