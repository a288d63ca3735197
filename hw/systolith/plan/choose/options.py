"""Every engine that a layer could have, and the choice of one for each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from systolith.devices.budget import NOTHING, Budget, Resources
from systolith.network import Add, AvgPool2d, IntegerNetwork, Layer, MaxPool2d
from systolith.plan.area.resources import PartKinds, engine_resources, resources_of
from systolith.plan.choose.arrays import array_shapes, least_cycles
from systolith.plan.choose.solver import choose
from systolith.plan.engines.array_shape import ArrayShape, Feed, MultiplierKind
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.layer_engines import (
    divisors,
    narrow_input,
    plan_add,
    plan_conv,
    plan_pool,
)
from systolith.plan.engines.memory import MemoryKind
from systolith.plan.engines.workload import Workload
from systolith.plan.streams.stage_graph import EnginePlan

__all__ = ["EngineOption", "choose_engines", "conv_options", "engine_options", "other_options"]


@dataclass(frozen=True, slots=True)
class EngineOption:
    """An engine with its input stream at its widest, and what it takes.

    Attributes
    ----------
    alike : EnginePlan
        The engine, but for what its parts are made of.
    cycles : int
        Per frame.
    resources : Resources
    kinds : PartKinds, optional
        What the parts are made of; None: as `alike` has it.
    """

    alike: EnginePlan
    cycles: int
    resources: Resources
    kinds: PartKinds | None = None

    @property
    def engine(self) -> EnginePlan:
        """The engine; made when asked for, as most options are beaten by others."""
        if self.kinds is None:
            return self.alike
        kind, weight, window = self.kinds
        assert isinstance(self.alike, ConvPlan)
        return replace(self.alike, multiplier_kind=kind, weight_memory=weight, window_memory=window)


@dataclass(frozen=True, slots=True)
class _Shape:
    """An array, of which nothing but the multipliers counts."""

    array: ArrayShape | None
    cycles: int

    @property
    def resources(self) -> Resources:
        return Resources(multipliers=self.array.total if self.array else 0)


Options = Mapping[str, Sequence[EngineOption]]
"""Of each layer but flattenings, in the network's order."""


def engine_options(
    network: IntegerNetwork,
    works: Sequence[Workload],
    fixed: Mapping[str, ArrayShape],
    budget: Budget,
    *,
    cycles: int | None = None,
    reloadable: bool = False,
) -> Options:
    """List the engines that each layer could have.

    Window buffers are taken to be as deep as they should do.

    Parameters
    ----------
    network : IntegerNetwork
    works : sequence of Workload
        Of all layers with weights, in the network's order.
    fixed : mapping of str to ArrayShape
        Arrays that are given.
    budget : Budget
    cycles : int, optional
        Per frame, at most.
    reloadable : bool
        Whether parameters can be written.

    Raises
    ------
    PlanError
        If the multipliers do not suffice.
    """
    others = {
        layer.name: other_options(network, layer, budget, reloadable=reloadable)
        for layer in network.layers
        if isinstance(layer, MaxPool2d | AvgPool2d | Add)
    }
    shapes = {
        work.name: [fixed[work.name]] if work.name in fixed else array_shapes(work)
        for work in works
    }
    if set(budget.limits) <= {"multipliers"}:
        shapes = _best_shapes(works, shapes, others, budget, cycles)
    found = dict(others)
    known: dict[tuple[Workload, tuple[ArrayShape, ...]], list[EngineOption]] = {}
    for work in works:
        # Layers that are alike share their options.
        key = replace(work, name=""), tuple(shapes[work.name])
        if key not in known:
            known[key] = conv_options(work, shapes[work.name], budget, reloadable=reloadable)
        found[work.name] = known[key]
    return {layer.name: found[layer.name] for layer in network.layers if layer.name in found}


def conv_options(
    work: Workload, shapes: Iterable[ArrayShape], budget: Budget, *, reloadable: bool = False
) -> list[EngineOption]:
    """List the engines of a convolution or linear layer, given the shapes that its array may have.

    LUTs multiply only where both they and DSP multipliers are limited.
    """
    kinds = list(MultiplierKind) if budget.trades_luts else [MultiplierKind.DSP]
    windows = _windows(budget)
    weights = windows if reloadable else list(MemoryKind)
    return [
        EngineOption(engine, cycles, resources, chosen)
        for engine in _conv_engines(work, shapes)
        for cycles in [engine.cycles]
        for chosen, resources in engine_resources(
            engine, kinds, weights, windows, budget.block, reloadable
        )
    ]


def other_options(
    network: IntegerNetwork, layer: Layer, budget: Budget, *, reloadable: bool = False
) -> list[EngineOption]:
    """List the engines of a pool or an addition."""
    return [
        EngineOption(engine, engine.cycles, resources_of(engine, budget.block, reloadable))
        for engine in _other_engines(network, layer, _windows(budget), reloadable)
    ]


def choose_engines(
    options: Options, budget: Budget, *, cycles: int | None = None, taken: Resources = NOTHING
) -> list[EnginePlan]:
    """Choose an engine for each layer.

    What is best is said at :func:`systolith.plan.choose.solver.choose`.

    Parameters
    ----------
    options : mapping of str to sequence of EngineOption
        By layer.
    budget : Budget
    cycles : int, optional
        Per frame, at most.
    taken : Resources
        What window buffers and queues between engines take besides.

    Raises
    ------
    PlanError
        If the budget does not suffice.
    """
    chosen = choose(list(options.values()), budget, cycles=cycles, taken=taken)
    pace = max((option.cycles for option in chosen), default=0)
    return [
        replace(narrow_input(option.engine, pace), name=name)
        for name, option in zip(options, chosen, strict=True)
    ]


def _windows(budget: Budget) -> list[MemoryKind]:
    """What window buffers may be made of."""
    return list(MemoryKind) if budget.distributed else [MemoryKind.BLOCK]


def _best_shapes(
    works: Sequence[Workload],
    shapes: Mapping[str, Sequence[ArrayShape]],
    others: Mapping[str, Sequence[EngineOption]],
    budget: Budget,
    cycles: int | None,
) -> dict[str, list[ArrayShape]]:
    """Of each layer's shapes keep those with the fewest multipliers at the best pace.

    The same choice with less to look at, if nothing but multipliers is limited.
    """
    options = [
        [_Shape(shape, least_cycles(work, shape)) for shape in shapes[work.name]] for work in works
    ]
    fastest = [[_Shape(None, min(o.cycles for o in every))] for every in others.values()]
    chosen = choose([*options, *fastest], budget, cycles=cycles)
    pace = max((shape.cycles for shape in chosen), default=0)
    return {
        work.name: [
            shape.array
            for shape in every
            if shape.array and shape.cycles <= pace and shape.resources == one.resources
        ]
        for work, every, one in zip(works, options, chosen, strict=False)
    }


def _other_engines(
    network: IntegerNetwork, layer: Layer, windows: Sequence[MemoryKind], reloadable: bool
) -> Iterator[EnginePlan]:
    for lanes in divisors(network.tensors[layer.name].shape[0]):
        match layer:
            case MaxPool2d() | AvgPool2d():
                pool = plan_pool(network, layer, lanes, reloadable=reloadable)
                for window in windows:
                    yield replace(pool, window_memory=window)
            case Add():
                yield plan_add(network, layer, lanes, reloadable=reloadable)


def _conv_engines(work: Workload, shapes: Iterable[ArrayShape]) -> Iterator[ConvPlan]:
    """One engine for each shape, and for each width of a word where filters gather."""
    for shape in shapes:
        for lanes in divisors(work.channels) if work.feed is Feed.GATHERED else [None]:
            yield plan_conv(work, shape, lanes=lanes)
