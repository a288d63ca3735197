"""The top module of a board: clock, serial line, lights and accelerator."""

from amaranth import ClockDomain, Module, ResetSignal, Signal
from amaranth.lib import cdc, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.board.config import BoardConfig
from systolith.gateware.board.server import Server
from systolith.gateware.cells import technology_of
from systolith.gateware.pipeline import Pipeline
from systolith.gateware.primitives.pll import Pll
from systolith.plan import NetworkPlan

__all__ = ["BoardTop"]


class BoardTop(wiring.Component):
    """The whole design of a device on a board.

    Parameters
    ----------
    plan : NetworkPlan
    config : BoardConfig
    pll : Pll, optional
        Makes the design's clock from the board's. Without it, or if the design uses the cells of
        another technology, `clk` is the design's clock.
    lights : int
        Number of lights, at least 2.
    dark_is_one : bool
        Whether a light is on when its output is 0.

    Members
    -------
    clk : ``In(1)``
        Clock of the board.
    rx, tx : ``In(1)``, ``Out(1)``
        Serial line.
    led : ``Out(lights)``
        Light 0: a request is carried out or answered. Light 1: an image enters the accelerator.
        Last light: the clock runs.
    """

    clk: Signal
    rx: Signal
    tx: Signal
    led: Signal

    def __init__(
        self,
        plan: NetworkPlan,
        config: BoardConfig,
        pll: Pll | None = None,
        *,
        lights: int = 8,
        dark_is_one: bool = False,
    ) -> None:
        self.plan, self.config, self.pll = plan, config, pll
        self.lights, self.dark_is_one = lights, dark_is_one
        super().__init__({"clk": In(1), "rx": In(1, init=1), "tx": Out(1), "led": Out(lights)})

    def elaborate(self, platform: object) -> Module:
        """Clock and reset first, then the line and the accelerator."""
        m = Module()
        m.domains.sync = sync = ClockDomain()
        unlocked = Signal()
        if self.pll is not None and technology_of(platform) is self.pll.technology:
            m.d.comb += unlocked.eq(~self.pll.add_to(m, self.clk, sync.clk))
        else:
            m.d.comb += sync.clk.eq(self.clk)
        m.submodules.reset = cdc.ResetSynchronizer(unlocked)
        m.submodules.accelerator = accelerator = Pipeline(self.plan)
        network = self.plan.network
        m.submodules.server = server = Server(self.config, input_bits=network.input.type.bits)
        images = server.images
        running, lit = Signal(), Signal(self.lights)
        m.d.comb += [
            server.rx.eq(self.rx),
            self.tx.eq(server.tx),
            accelerator.i.payload.as_value().eq(images.payload),
            accelerator.i.valid.eq(images.valid),
            images.ready.eq(accelerator.i.ready),
            running.eq(images.valid),
            lit.eq(server.busy | running << 1 | ~ResetSignal() << (self.lights - 1)),
            self.led.eq(~lit if self.dark_is_one else lit),
        ]
        for results, stored in zip(accelerator.outputs, server.results, strict=True):
            wiring.connect(m, results, stored)
        return m
