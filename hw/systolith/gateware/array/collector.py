"""From the columns' sums to transfers: accumulate over the folds, then align."""

from amaranth import Array, C, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.counting import count_laps
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.primitives import sum_gated
from systolith.plan import ConvPlan

__all__ = ["Collector"]


class Collector(wiring.Component):
    """Accumulate each column over the steps of a pass and collect the results, `lanes_out` at once.

    Column c is c cycles behind column 0, so the results of different columns arrive one after the
    other. Each is held for the cycles of a pass, usually long enough to collect it. If passes are
    shorter than the drain, the result of filter f is delayed by ``plan.hold_delays[f]`` cycles.

    Members
    -------
    psums : ``In(signed(acc_bits)).array(plan.width)``
        Partial sums of the filters of a pass.
    first, last : ``In(1)``
        Whether ``psums[0]`` belongs to the first or last step of a pass. Steps follow each other
        without a pause.
    o : ``Out(data.ArrayLayout(signed(acc_bits), lanes_out))``
    o_valid : ``Out(1)``
    transfer : ``Out(range(plan.transfers_per_pixel))``
        Number within the pixel of the transfer that appears on `o` one cycle later.

    Timing
    ------
    Transfer j of a pass appears ``plan.drain_delay + 1 + j`` cycles after `last`. A pass is at
    least as long as its drain, so drains never overlap.
    """

    psums: list[Signal]
    first: Signal
    last: Signal
    o: data.View
    o_valid: Signal
    transfer: Signal

    def __init__(self, plan: ConvPlan) -> None:
        self.plan = plan
        acc = signed(plan.acc_bits)
        super().__init__(
            {
                "psums": In(acc).array(plan.width),
                "first": In(1),
                "last": In(1),
                "o": Out(data.ArrayLayout(acc, plan.lanes_out)),
                "o_valid": Out(1),
                "transfer": Out(range(plan.transfers_per_pixel)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Accumulate and hold per column; then count through the transfers of each pass."""
        m = Module()
        plan = self.plan
        first, last = self.first, self.last
        held = []
        for number, psum in enumerate(self.psums):
            acc = Signal(signed(plan.acc_bits), name=f"acc_{number}", reset_less=True)
            total = Signal(signed(plan.acc_bits), name=f"total_{number}")
            hold = Signal(signed(plan.acc_bits), name=f"hold_{number}", reset_less=True)
            kept, added = (acc, ~first), (psum, C(1))
            m.d.comb += total.eq(
                sum_gated(platform, m, f"sum_{number}", kept, added, total.shape())
            )
            m.d.sync += acc.eq(total)
            with m.If(last):
                m.d.sync += hold.eq(total)
            held.append(delay_payload(m, hold, plan.hold_delays[number], f"hold_{number}"))
            if (number + 1) % plan.packed == 0:
                first = delay(m, first, 1, f"first_{number}")
                last = delay(m, last, 1, f"last_{number}")
        begin = delay(m, self.last, plan.drain_delay, "begin")
        busy, drain, ends = Signal(), Signal(), Signal()
        # The last pass of a pixel may have fewer transfers than the others.
        transfer, last_transfer = count_laps(m, plan.transfers_per_pixel, drain, "transfer")
        part, last_part = count_laps(m, plan.drain_cycles, drain, "part", restart=last_transfer)
        m.d.comb += [
            drain.eq(begin | busy),
            ends.eq(last_part | last_transfer),
            self.transfer.eq(transfer),
        ]
        with m.If(drain):
            m.d.sync += busy.eq(~ends)
        m.d.sync += self.o_valid.eq(drain)
        for lane in range(plan.lanes_out):
            collected = Array(held[lane :: plan.lanes_out])[part]
            m.d.comb += self.o[lane].eq(delay_payload(m, collected, 1, f"collected_{lane}"))
        return m
