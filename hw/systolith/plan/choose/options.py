"""All engines that a layer could have, and the choice of one for each layer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from systolith.devices.budget import NOTHING, Budget, Resources
from systolith.network import (
    Add,
    ArgMax,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Layer,
    Linear,
    MaxPool2d,
    Moving,
    Multiply,
    Pad2d,
    Table,
    Upsample,
)
from systolith.plan.area.resources import PartKinds, engine_resources, resources_of
from systolith.plan.choose.arrays import array_shapes, least_cycles
from systolith.plan.choose.solver import Chooser, Clock, choose
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.layer_engines import (
    divisors,
    narrow_input,
    plan_add,
    plan_arg_max,
    plan_conv,
    plan_multiply,
    plan_pool,
    plan_table,
)
from systolith.plan.moving.layer_movers import plan_moving
from systolith.plan.sizes.array_shape import ArrayShape, Feed, MultiplierKind
from systolith.plan.sizes.memory import MemoryKind
from systolith.plan.sizes.weight_memory import WeightMemory, sharing_tile
from systolith.plan.sizes.workload import Workload
from systolith.plan.streams.stage_graph import EnginePlan

__all__ = ["EngineChooser", "EngineOption", "conv_options", "engine_options", "other_options"]


@dataclass(frozen=True, slots=True)
class EngineOption:
    """An engine with its input stream at its widest, and its resources.

    Attributes
    ----------
    alike : EnginePlan
        The engine, apart from the kinds of its parts.
    cycles : int
        Cycles per frame.
    resources : Resources
    kinds : PartKinds, optional
        Kinds of the parts; None if they are those of `alike`.
    """

    alike: EnginePlan
    cycles: int
    resources: Resources
    kinds: PartKinds | None = None

    @property
    def engine(self) -> EnginePlan:
        """The engine. It is built on demand, because most options are never chosen."""
        if self.kinds is None:
            return self.alike
        kind, weight, window = self.kinds
        assert isinstance(self.alike, ConvPlan)
        return replace(self.alike, multiplier_kind=kind, weight_memory=weight, window_memory=window)


@dataclass(frozen=True, slots=True)
class _Shape:
    """An array whose only cost is its multipliers."""

    array: ArrayShape | None
    cycles: int

    @property
    def resources(self) -> Resources:
        return Resources(multipliers=self.array.total if self.array else 0)


Options = Mapping[str, Sequence[EngineOption]]
"""Options by layer, without flattenings, in the network's order."""


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

    Window buffers have the depth that usually suffices.

    Parameters
    ----------
    network : IntegerNetwork
    works : sequence of Workload
        One for each layer with weights, in the network's order.
    fixed : mapping of str to ArrayShape
        Given arrays.
    budget : Budget
    cycles : int, optional
        Most cycles per frame.
    reloadable : bool
        Whether parameters can be written.

    Raises
    ------
    PlanError
        If the budget has too few multipliers.
    """
    others = {
        layer.name: other_options(network, layer, budget, reloadable=reloadable)
        for layer in network.layers
        if not isinstance(layer, Conv2d | Linear | Flatten)
    }
    shapes = {
        work.name: [fixed[work.name]] if work.name in fixed else array_shapes(work)
        for work in works
    }
    if set(budget.limits) <= {"multipliers"}:
        shapes = _best_shapes(works, shapes, others, budget, cycles)
    engines = dict(others)
    known: dict[tuple[Workload, tuple[ArrayShape, ...]], list[EngineOption]] = {}
    for work in works:
        # Equal layers share their options.
        key = replace(work, name=""), tuple(shapes[work.name])
        if key not in known:
            known[key] = conv_options(work, shapes[work.name], budget, reloadable=reloadable)
        engines[work.name] = known[key]
    names = [layer.name for layer in network.layers if layer.name in engines]
    return {name: engines[name] for name in names}


def conv_options(
    work: Workload, shapes: Iterable[ArrayShape], budget: Budget, *, reloadable: bool = False
) -> list[EngineOption]:
    """List the engines of a convolution or linear layer for each of some array shapes.

    LUTs multiply only if the budget limits both LUTs and DSP multipliers. Single bits are always
    counted in LUTs.
    """
    kinds = list(MultiplierKind) if budget.trades_luts else [MultiplierKind.DSP]
    if work.single_bits:
        kinds = [MultiplierKind.LUT]
    windows = _windows(budget)
    stored = windows if reloadable else list(MemoryKind)
    return [
        EngineOption(engine, cycles, resources, chosen)
        for engine in _conv_engines(work, shapes)
        for cycles, weights in [(engine.cycles, _weight_memories(engine, stored, budget))]
        for chosen, resources in engine_resources(
            engine, kinds, weights, windows, budget.block, reloadable
        )
    ]


def other_options(
    network: IntegerNetwork, layer: Layer, budget: Budget, *, reloadable: bool = False
) -> list[EngineOption]:
    """List the engines of a layer without a PE array."""
    return [
        EngineOption(engine, engine.cycles, resources_of(engine, budget.block, reloadable))
        for engine in _other_engines(network, layer, _windows(budget), reloadable)
    ]


class EngineChooser:
    """The choice of an engine for each layer, for any paces and amounts that are taken.

    Parameters
    ----------
    options : mapping of str to sequence of EngineOption
        Options by layer.
    budget : Budget
    """

    def __init__(self, options: Options, budget: Budget) -> None:
        self._names = tuple(options)
        self._chooser = Chooser(list(options.values()), budget)

    def choose(
        self,
        *,
        cycles: int | None = None,
        clock: Clock | None = None,
        frames_per_second: float | None = None,
        taken: Resources = NOTHING,
    ) -> list[EnginePlan]:
        """Choose as :class:`systolith.plan.choose.solver.Chooser` says.

        Parameters
        ----------
        cycles : int, optional
            Most cycles per frame.
        clock : callable, optional
            Estimated clock in MHz; frames per second then decide instead of cycles.
        frames_per_second : float, optional
            Target; needs a clock.
        taken : Resources
            Resources of window buffers and queues that the options do not include.

        Raises
        ------
        PlanError
            If the budget is too small.
        """
        if clock is None:
            chosen = self._chooser.choose(cycles=cycles, taken=taken)
        else:
            chosen = self._chooser.choose_by_clock(
                clock, frames_per_second=frames_per_second, taken=taken
            )
        pace = max((option.cycles for option in chosen), default=0)
        return [
            replace(narrow_input(option.engine, pace), name=name)
            for name, option in zip(self._names, chosen, strict=True)
        ]


def _windows(budget: Budget) -> list[MemoryKind]:
    """Kinds that window buffers may have."""
    return list(MemoryKind) if budget.distributed else [MemoryKind.BLOCK]


def _weight_memories(
    engine: ConvPlan, kinds: Iterable[MemoryKind], budget: Budget
) -> list[WeightMemory]:
    """Weight memories that an engine may have.

    Where PEs can share blocks, they do: that takes no LUTs. Single PEs have blocks of their own
    only if none are saved, or if the delay lines count because flip-flops are limited.
    """
    array = engine.array
    tile = sharing_tile(
        array.rows, array.columns, engine.steps, engine.weight_word_bits, budget.block
    )
    alone = [WeightMemory(kind) for kind in kinds]
    if tile == (1, 1):
        return alone
    shared = WeightMemory(MemoryKind.BLOCK, *tile)
    if "flip_flops" in budget.limits:
        return [*alone, shared]
    return [shared, *(memory for memory in alone if memory.kind is not MemoryKind.BLOCK)]


def _best_shapes(
    works: Sequence[Workload],
    shapes: Mapping[str, Sequence[ArrayShape]],
    others: Mapping[str, Sequence[EngineOption]],
    budget: Budget,
    cycles: int | None,
) -> dict[str, list[ArrayShape]]:
    """Keep the shapes of each layer that have the fewest multipliers at the best pace.

    If only multipliers are limited, this leads to the same choice with fewer options.
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
    if isinstance(layer, Moving):
        yield from plan_moving(network, layer, windows)
        return
    if isinstance(layer, ArgMax):
        yield from (plan_arg_max(network, layer, lanes) for lanes in divisors(layer.classes))
        return
    for lanes in divisors(network.tensors[layer.name].shape[0]):
        match layer:
            case MaxPool2d() | AvgPool2d() | Pad2d() | Upsample():
                pool = plan_pool(network, layer, lanes, reloadable=reloadable)
                for window in windows:
                    yield replace(pool, window_memory=window)
            case Add():
                yield plan_add(network, layer, lanes, reloadable=reloadable)
            case Multiply():
                yield plan_multiply(network, layer, lanes, reloadable=reloadable)
            case Table():
                table = plan_table(network, layer, lanes)
                for memory in windows if reloadable else MemoryKind:
                    yield replace(table, table_memory=memory)


def _conv_engines(work: Workload, shapes: Iterable[ArrayShape]) -> Iterator[ConvPlan]:
    """One engine for each shape, and for each width of a word where filters gather."""
    for shape in shapes:
        for lanes in divisors(work.channels) if work.feed is Feed.GATHERED else [None]:
            yield plan_conv(work, shape, lanes=lanes)
