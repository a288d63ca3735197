"""Change of the number of channels per transfer."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream
from systolith.plan import GearboxPlan

__all__ = ["Gearbox"]


class Gearbox(wiring.Component):
    """Gather narrow transfers into wide ones, or split wide ones into narrow ones.

    One register, as wide as the wider side, is filled and then emptied. A transfer never holds
    channels of two pixels; lanes beyond the last channel of a pixel have undefined values.

    Members
    -------
    i : ``In(act_stream(act, plan.lanes_in))``
    o : ``Out(act_stream(act, plan.lanes_out))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from the transfer that fills the register to ``o.valid``.
    Throughput: one transfer per cycle on the narrow side. The register is filled again in the cycle
    of its last output: ``i.ready`` depends combinationally on ``o.ready``. Reset empties it.
    """

    LATENCY = 1

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: GearboxPlan) -> None:
        self.plan = plan
        act = plan.tensor.type
        super().__init__(
            {"i": In(act_stream(act, plan.lanes_in)), "o": Out(act_stream(act, plan.lanes_out))}
        )

    def elaborate(self, platform: object) -> Module:
        """Build the register and the counter of its narrow side."""
        m = Module()
        plan = self.plan
        narrow = min(plan.lanes_in, plan.lanes_out)
        parts = max(plan.lanes_in, plan.lanes_out) // narrow
        width = narrow * plan.tensor.type.bits
        part = Signal(range(parts))
        # Number of the narrow transfer within the pixel: the last one may not fill the register.
        position = Signal(range(max(plan.transfers_in, plan.transfers_out)))
        last_of_pixel = position == max(plan.transfers_in, plan.transfers_out) - 1
        last = Signal()
        m.d.comb += last.eq((part == parts - 1) | last_of_pixel)
        full = Signal()
        register = Signal(parts * width)
        filled, emptied, step = Signal(), Signal(), Signal()
        with m.If(emptied):
            m.d.sync += full.eq(0)
        with m.If(filled):
            m.d.sync += full.eq(1)
        with m.If(step):
            m.d.sync += [
                part.eq(part + 1),
                position.eq(position + 1),
            ]
            with m.If(last):
                m.d.sync += part.eq(0)
            with m.If(last_of_pixel):
                m.d.sync += position.eq(0)
        taken = self.i.valid & self.i.ready
        given = self.o.valid & self.o.ready
        m.d.comb += [self.o.valid.eq(full), self.i.ready.eq(~full | emptied)]
        if plan.lanes_in < plan.lanes_out:
            m.d.comb += [step.eq(taken), filled.eq(taken & last), emptied.eq(given)]
            with m.If(taken):
                m.d.sync += register.word_select(part, width).eq(self.i.payload)
            m.d.comb += self.o.payload.eq(register)
        else:
            m.d.comb += [step.eq(given), filled.eq(taken), emptied.eq(given & last)]
            with m.If(taken):
                m.d.sync += register.eq(self.i.payload)
            m.d.comb += self.o.payload.eq(register.word_select(part, width))
        return m
