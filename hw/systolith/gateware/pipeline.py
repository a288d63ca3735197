"""The whole network: engines joined by streams."""

from amaranth import Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream
from systolith.gateware.engines.add import AddEngine
from systolith.gateware.engines.arg_max import ArgMaxEngine
from systolith.gateware.engines.blocks import BlockEngine
from systolith.gateware.engines.concat import ConcatEngine
from systolith.gateware.engines.conv import ConvEngine
from systolith.gateware.engines.multiply import MultiplyEngine
from systolith.gateware.engines.pool import PoolEngine
from systolith.gateware.engines.select import SelectEngine
from systolith.gateware.engines.table import TableEngine
from systolith.gateware.parameters import LOAD_BUS
from systolith.gateware.streams.fork import Fork
from systolith.gateware.streams.gearbox import Gearbox
from systolith.network import (
    INPUT,
    Add,
    AvgPool2d,
    Conv2d,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    Table,
    Upsample,
)
from systolith.plan import (
    AddPlan,
    ArgMaxPlan,
    BlockPlan,
    ConcatPlan,
    ConvPlan,
    EnginePlan,
    ForkPlan,
    GearboxPlan,
    MultiplyPlan,
    NetworkPlan,
    PoolPlan,
    SelectPlan,
    StagePlan,
    TablePlan,
    output_ports,
    signal_name,
)

__all__ = ["Pipeline", "make_stage"]

Combiner = AddEngine | MultiplyEngine
"""Engines that take pairs of transfers."""
Mover = ConcatEngine | SelectEngine | BlockEngine
StageComponent = (
    ConvEngine | PoolEngine | Combiner | TableEngine | ArgMaxEngine | Mover | Gearbox | Fork
)


class Pipeline(wiring.Component):
    """A network as engines that all work at the same time.

    Members
    -------
    i : ``In(act_stream(network.input.type, plan.lanes_in))``
    o : ``Out(act_stream(...))``
        The network's output. Several outputs are ``o_0``, ``o_1``, ... in the network's order;
        :attr:`outputs` lists them. The consumer must take each independently of the others: if it
        waits at one output for data of another, the pipeline can deadlock.
    load : ``In(LOAD_BUS)``
        Bytes of :func:`systolith.emit.load_bytes`, for other weights of the same patterns. Only if
        ``plan.reloadable``, as `loaded` and `overflow`.
    loaded : ``Out(1)``
        Whether the last memory has all its bytes since `load` started; 1 before any load.
    overflow : ``Out(1)``
        A byte arrives for which no memory has room.

    Timing
    ------
    ``plan.latency_cycles`` from the first input to the last output of a frame, then a frame every
    ``plan.cycles_per_frame`` cycles, if the producer always offers and the consumer always takes.
    """

    i: stream.Interface
    o: stream.Interface
    load: data.View
    loaded: Signal
    overflow: Signal

    def __init__(self, plan: NetworkPlan) -> None:
        self.plan = plan
        self._ports = output_ports(plan.network)
        tensors = [plan.network.tensors[name] for name in plan.network.outputs]
        members = {"i": In(act_stream(plan.network.input.type, plan.lanes_in))}
        for port, tensor, lanes in zip(self._ports, tensors, plan.lanes_out, strict=True):
            members[port] = Out(act_stream(tensor.type, lanes))
        if plan.reloadable:
            members |= {"load": In(LOAD_BUS), "loaded": Out(1), "overflow": Out(1)}
        super().__init__(members)

    @property
    def outputs(self) -> tuple[stream.Interface, ...]:
        """Streams of the network's outputs, in their order."""
        return tuple(getattr(self, port) for port in self._ports)

    def elaborate(self, platform: object) -> Module:
        """Join the stages; each stream out of an engine gets wires with the layer's name."""
        m = Module()
        outputs: dict[str, list[stream.Interface]] = {INPUT: [wiring.flipped(self.i)]}
        inputs: dict[str | None, list[stream.Interface]] = {
            None: [wiring.flipped(output) for output in self.outputs]
        }
        bus = self.load if self.plan.reloadable else LOAD_BUS.const(None)
        full: Value = Const(1)
        for plan in self.plan.stages:
            stage = make_stage(self.plan, plan)
            m.submodules[signal_name(plan.name)] = stage
            if getattr(stage, "loadable", False):
                m.d.comb += stage.load_i.eq(bus)
                bus, full = stage.load_o, stage.full
            inputs[plan.name] = _inputs(stage)
            outputs[plan.name] = list(stage.o) if isinstance(stage, Fork) else [stage.o]
            if isinstance(plan, EnginePlan):
                _name(m, stage.o, signal_name(plan.name))
        for edge in self.plan.graph.edges:
            source, target = outputs[edge.source][edge.branch], inputs[edge.target][edge.port]
            wiring.connect(m, source, target)
        if self.plan.reloadable:
            m.d.comb += [self.loaded.eq(full), self.overflow.eq(bus.valid)]
        return m


def make_stage(network: NetworkPlan, plan: StagePlan) -> StageComponent:
    """Make the component of one stage of a planned network."""
    match plan:
        case ConvPlan():
            layer = network.network[plan.name]
            assert isinstance(layer, Conv2d | Linear)
            return ConvEngine(plan, layer, loadable=network.reloadable)
        case PoolPlan():
            layer = network.network[plan.name]
            assert isinstance(layer, MaxPool2d | AvgPool2d | Pad2d | Upsample)
            return PoolEngine(plan, layer, loadable=network.reloadable)
        case AddPlan():
            layer = network.network[plan.name]
            assert isinstance(layer, Add)
            return AddEngine(plan, layer, loadable=network.reloadable)
        case MultiplyPlan():
            layer = network.network[plan.name]
            assert isinstance(layer, Multiply)
            return MultiplyEngine(plan, layer, loadable=network.reloadable)
        case TablePlan():
            layer = network.network[plan.name]
            assert isinstance(layer, Table)
            return TableEngine(plan, layer, loadable=network.reloadable)
        case ArgMaxPlan():
            return ArgMaxEngine(plan)
        case ConcatPlan():
            return ConcatEngine(plan)
        case SelectPlan():
            return SelectEngine(plan)
        case BlockPlan():
            return BlockEngine(plan)
        case GearboxPlan():
            return Gearbox(plan)
        case ForkPlan():
            return Fork(plan)


def _inputs(stage: StageComponent) -> list[stream.Interface]:
    """List the streams into a stage, port by port."""
    match stage:
        case AddEngine() | MultiplyEngine():
            return [stage.i_0, stage.i_1]
        case ConcatEngine():
            return stage.inputs
        case _:
            return [stage.i]


def _name(m: Module, source: stream.Interface, name: str) -> None:
    """Copy a stream to wires with a name of its own."""
    payload = Signal(source.payload.shape(), name=f"{name}__payload")
    valid, ready = Signal(name=f"{name}__valid"), Signal(name=f"{name}__ready")
    m.d.comb += [
        payload.eq(source.payload),
        valid.eq(source.valid),
        ready.eq(source.ready),
    ]
