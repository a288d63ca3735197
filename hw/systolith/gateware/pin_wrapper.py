"""A component alone on a device that has fewer pins than the component has ports."""

from amaranth import Cat, ClockDomain, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PinWrapper"]


class PinWrapper(wiring.Component):
    """A component whose ports are shift registers between two data pins, to place it by itself.

    Parameters
    ----------
    component : wiring.Component

    Members
    -------
    clk : ``In(1)``
    i : ``In(1)``
        Shifted along a chain of registers: one for each input bit of the component and its reset.
    o : ``Out(1)``
        Exclusive or of all output bits of the component, along a chain of registers.

    Timing
    ------
    Every path to and from the component ends at a register.
    """

    clk: Signal
    i: Signal
    o: Signal

    def __init__(self, component: wiring.Component) -> None:
        self.component = component
        super().__init__({"clk": In(1), "i": In(1), "o": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Two chains around the component."""
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.domains.chain = chain = ClockDomain(reset_less=True)
        m.d.comb += [sync.clk.eq(self.clk), chain.clk.eq(self.clk)]
        m.submodules.accelerator = inside = self.component
        ports = [(member.flow, value) for _, member, value in inside.signature.flatten(inside)]
        inputs = Cat(ResetSignal(), *(value for flow, value in ports if flow is In))
        outputs = Cat(value for flow, value in ports if flow is Out)
        shifted, added = Signal(len(inputs)), Signal(len(outputs))
        m.d.comb += [inputs.eq(shifted), self.o.eq(added[-1])]
        m.d.chain += [
            shifted.eq(Cat(self.i, shifted)),
            added.eq(Cat(0, added) ^ outputs),
        ]
        return m
