"""The whole network: engines joined by streams."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.conv import ConvEngine
from systolith.gateware.gearbox import Gearbox
from systolith.gateware.pool import PoolEngine
from systolith.gateware.streams import act_stream
from systolith.network import Conv2d, Linear
from systolith.plan import ConvPlan, GearboxPlan, NetworkPlan, PoolPlan, StagePlan

__all__ = ["Pipeline", "signal_name"]

Stage = ConvEngine | PoolEngine | Gearbox


class Pipeline(wiring.Component):
    """A network as a chain of engines that all work at once.

    Members
    -------
    i, o : streams of the network's input and output

    Timing
    ------
    ``plan.latency_cycles`` from the first input to the last output of a frame, then a frame every
    ``plan.cycles_per_frame`` cycles, if the producer always offers and the consumer always takes.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: NetworkPlan) -> None:
        self.plan = plan
        first, last = plan.engines[0], plan.engines[-1]
        super().__init__(
            {
                "i": In(act_stream(plan.network.input.type, first.lanes_in)),
                "o": Out(act_stream(last.output.type, last.lanes_out)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Chain the stages; each stream between engines gets wires with the layer's name."""
        m = Module()
        upstream = wiring.flipped(self.i)
        for plan in self.plan.stages:
            stage = self._stage(plan)
            m.submodules[signal_name(plan.name)] = stage
            wiring.connect(m, upstream, stage.i)
            upstream = stage.o
            if not isinstance(plan, GearboxPlan):
                name = signal_name(plan.name)
                payload = Signal(stage.o.payload.shape(), name=f"{name}__payload")
                valid, ready = Signal(name=f"{name}__valid"), Signal(name=f"{name}__ready")
                m.d.comb += [
                    payload.eq(stage.o.payload),
                    valid.eq(stage.o.valid),
                    ready.eq(stage.o.ready),
                ]
        wiring.connect(m, upstream, wiring.flipped(self.o))
        return m

    def _stage(self, plan: StagePlan) -> Stage:
        match plan:
            case ConvPlan():
                layer = self.plan.network[plan.name]
                assert isinstance(layer, Conv2d | Linear)
                return ConvEngine(plan, layer)
            case PoolPlan():
                return PoolEngine(plan)
            case GearboxPlan():
                return Gearbox(plan)


def signal_name(layer: str) -> str:
    """Turn a layer's name into a Verilog identifier."""
    return layer.replace(".", "_")
