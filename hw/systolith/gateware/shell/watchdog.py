"""Conditions that last too long."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """See when a condition has lasted for a number of cycles in a row.

    Members
    -------
    condition : ``In(1)``
    limit : ``In(32)``
        In cycles; 0 for no limit.
    expired : ``Out(1)``

    Timing
    ------
    `expired` is 1 from the cycle after the condition has lasted `limit` cycles to the cycle after
    its last.
    """

    condition: Signal
    limit: Signal
    expired: Signal

    def __init__(self) -> None:
        super().__init__({"condition": In(1), "limit": In(32), "expired": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Count up to the limit."""
        m = Module()
        count = Signal(32)
        m.d.comb += self.expired.eq((self.limit != 0) & (count >= self.limit))
        with m.If(~self.condition):
            m.d.sync += count.eq(0)
        with m.Elif(~self.expired):
            m.d.sync += count.eq(count + 1)
        return m
