"""From an integer network to a pipeline of engines joined by streams."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from systolith.devices.budget import Budget, Resources, is_integer
from systolith.network import INPUT, Conv2d, IntegerNetwork, Linear
from systolith.plan.area.resources import resources_of
from systolith.plan.choose.arrays import array_problems, resolve_layer_names
from systolith.plan.choose.options import EngineChooser, engine_options
from systolith.plan.choose.solver import Clock
from systolith.plan.cycles.queues import size_queues
from systolith.plan.cycles.timeline import Timeline, compute_timeline
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.errors import PlanError
from systolith.plan.moving.matching import match_lanes
from systolith.plan.sizes.array_shape import ArrayShape
from systolith.plan.sizes.workload import unsupported_layers, workload_of
from systolith.plan.streams.joining import join_engines
from systolith.plan.streams.stage_graph import EnginePlan, StageGraph, StagePlan, WindowedEngine

__all__ = ["DEFAULT_MULTIPLIERS", "NetworkPlan", "plan_network"]

DEFAULT_MULTIPLIERS = 64
SETTLED = 4
"""Equal intervals between frames after which the pipeline is in the steady state."""
MOST_FRAMES = 200
"""Frames after which a pipeline counts as never settling."""
STEADY_FRAMES = 12
"""Frames for which an engine is evaluated to size its window buffer."""
MOST_DOUBLINGS = 6
"""Most doublings of a window buffer."""


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """A network as a pipeline of engines.

    Attributes
    ----------
    network : IntegerNetwork
        The planned network.
    graph : StageGraph
        Engines, and the gearboxes and forks between them.
    reloadable : bool
        Whether other weights of the same patterns can be loaded into the design.
    budget : Budget
        Resources that the design may take.
    """

    network: IntegerNetwork
    graph: StageGraph
    reloadable: bool = False
    budget: Budget = Budget()

    @property
    def stages(self) -> tuple[StagePlan, ...]:
        """All stages, in the order of the data flow."""
        return self.graph.stages

    @property
    def engines(self) -> tuple[EnginePlan, ...]:
        """The stages that compute layers."""
        return tuple(stage for stage in self.stages if isinstance(stage, EnginePlan))

    @property
    def lanes_in(self) -> int:
        """Channels in one transfer of the network's input."""
        return next(stage.lanes_in for stage in self.stages if self._reads_input(stage))

    @property
    def lanes_out(self) -> tuple[int, ...]:
        """Channels in one transfer of each of the network's outputs."""
        lanes = {stage.name: stage.lanes_out for stage in self.stages}
        return tuple(lanes[name] for name in self.graph.outputs)

    @property
    def convolutions(self) -> tuple[ConvPlan, ...]:
        """The engines with a PE array."""
        return tuple(stage for stage in self.stages if isinstance(stage, ConvPlan))

    @property
    def cycles_per_frame(self) -> int:
        """Cycles between frames in the steady state: those of the busiest stage."""
        return max(stage.cycles for stage in self.stages)

    @property
    def bottleneck(self) -> str:
        """Name of the stage that sets :attr:`cycles_per_frame`."""
        return max(self.stages, key=lambda stage: stage.cycles).name

    @property
    def multipliers(self) -> int:
        """Multipliers of all PE arrays, without those of requantizers."""
        return sum(engine.array.total for engine in self.convolutions)

    @property
    def resources(self) -> Resources:
        """Resources of all stages."""
        return sum(map(self.resources_of, self.stages), Resources())

    def resources_of(self, stage: StagePlan) -> Resources:
        """Resources of a stage; LUTs and flip-flops are estimates."""
        return resources_of(stage, self.budget.block, self.reloadable)

    @property
    def requantizers(self) -> int:
        """Requantizer lanes."""
        return sum(
            engine.lanes_out
            for engine in self.engines
            if isinstance(engine, ConvPlan | AddPlan | MultiplyPlan)
            or (isinstance(engine, PoolPlan) and engine.average)
        )

    @property
    def macs_dense(self) -> int:
        """Multiplications per frame if no weight were pruned."""
        return sum(engine.macs_dense for engine in self.convolutions)

    @property
    def macs_kept(self) -> int:
        """Multiplications per frame with kept weights."""
        return sum(engine.macs_kept for engine in self.convolutions)

    @property
    def utilization(self) -> float:
        """Kept multiplications per frame divided by those that all multipliers could do, 0..1.

        The value holds for the steady state. A packed multiplier could do two in a cycle.
        """
        capacity = sum(engine.macs_per_cycle for engine in self.convolutions)
        return self.macs_kept / max(capacity * self.cycles_per_frame, 1)

    @property
    def latency_cycles(self) -> int:
        """Cycles from the first input to the last output of a single frame, inclusive."""
        return self._start.latency

    @property
    def steady_interval(self) -> int:
        """Cycles between frames in the steady state, by the cycle model."""
        return self._start.last_output[-1] - self._start.last_output[-2]

    def cycles(self, frames: int) -> int:
        """Cycles from the first input to the last output of frames sent back to back, inclusive.

        The number is exact. The first frames are evaluated event by event until the interval
        between outputs is constant; the others follow at that interval. Plans of
        :func:`plan_network` always settle. With smaller buffers the interval can alternate; then
        every frame is evaluated.
        """
        start = self._start
        known = len(start.last_output)
        if frames <= known:
            return start.last_output[frames - 1] - start.first_input[0] + 1
        if not self._settled(start):
            return compute_timeline(self.graph, frames).cycles
        return start.cycles + (frames - known) * self.steady_interval

    def _reads_input(self, stage: StagePlan) -> bool:
        return INPUT in self.graph.sources[stage.name]

    @cached_property
    def _start(self) -> Timeline:
        """The first frames, until the pipeline is full and the interval is constant."""
        frames = 2 * SETTLED
        while True:
            run = compute_timeline(self.graph, frames)
            if self._settled(run) or frames > MOST_FRAMES:
                return run
            frames *= 2

    def _settled(self, run: Timeline) -> bool:
        """Whether the last frames entered and left at the same interval.

        The busiest stage must be able to keep it. Until the queue before that stage is full, frames
        may enter and leave faster, if another output is later than that of the busiest stage.
        """
        times = np.array([run.first_input, run.last_output])
        intervals = np.diff(times[:, -SETTLED - 1 :])
        interval = intervals[0, 0]
        return bool((intervals == interval).all() and interval >= self.cycles_per_frame)


def plan_network(
    network: IntegerNetwork,
    *,
    arrays: Mapping[str, ArrayShape] | None = None,
    multipliers: int | None = None,
    budget: Budget | None = None,
    cycles: int | None = None,
    clock: Clock | None = None,
    frames_per_second: float | None = None,
    reloadable: bool = False,
) -> NetworkPlan:
    """Lay a network out on engines.

    :func:`systolith.plan.choose.solver.choose` chooses what is not given: the slowest layer is as
    fast as the budget allows, or takes at most `cycles`; no layer takes more resources than it
    needs for that pace.

    Parameters
    ----------
    network : IntegerNetwork
        Convolutions, linear layers, additions, pools and flattenings.
    arrays : mapping of str to ArrayShape, optional
        Fixed shapes by layer name, with dots as in PyTorch or with underscores. They count towards
        the budget unless all shapes are fixed.
    multipliers : int, optional
        Multipliers of all PE arrays together, if nothing else is limited; default
        :data:`DEFAULT_MULTIPLIERS` if neither a budget nor cycles are given.
    budget : Budget, optional
        Limits on the resources of the design, with queues between engines.
    cycles : int, optional
        Most cycles per frame. The design is then as small as possible instead of as fast.
    clock : callable, optional
        Estimated clock in MHz of a design with some :class:`Resources`, which never rises with
        them; needs a budget of more than multipliers. The design then has the most frames per
        second by this clock instead of the fewest cycles. Of the resources of queues, only those
        are known then that made an earlier choice exceed the budget or miss the target.
    frames_per_second : float, optional
        Target by the estimated clock, instead of `cycles`. The design is then the slowest one that
        reaches it.
    reloadable : bool
        Whether parameters can be loaded. Sums and requantizers are then as wide as any weights of
        the same patterns may need.

    Returns
    -------
    NetworkPlan

    Raises
    ------
    PlanError
        Naming every layer that no engine computes and every array that does not fit its layer, or
        the resources that exceed the budget.
    """
    shapes = resolve_layer_names(network, arrays or {})
    PlanError.raise_if_any(
        [
            *unsupported_layers(network),
            *array_problems(network, shapes, reloadable=reloadable),
            *_goal_problems(multipliers, budget, cycles),
            *_clock_problems(clock, frames_per_second, budget, cycles),
        ]
    )
    budget = _budget(multipliers, budget, cycles)
    weighted = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    works = [workload_of(network, layer, reloadable=reloadable) for layer in weighted]
    if set(shapes) == {work.name for work in works}:
        budget = replace(budget, multipliers=None)
    options = engine_options(network, works, shapes, budget, cycles=cycles, reloadable=reloadable)
    chooser = EngineChooser(options, budget)
    beyond = Resources()
    while True:
        engines = chooser.choose(
            cycles=cycles, clock=clock, frames_per_second=frames_per_second, taken=beyond
        )
        graph = _join(network, engines)
        plan = NetworkPlan(network=network, graph=graph, reloadable=reloadable, budget=budget)
        missed = (
            clock is not None
            and frames_per_second is not None
            and clock(plan.resources) * 1e6 < frames_per_second * plan.cycles_per_frame
        )
        if not missed and not any(budget.exceeded(plan.resources)):
            return plan
        # Only now are the depths of window buffers and queues known: reserve resources for them.
        used = sum((plan.resources_of(engine) for engine in engines), Resources())
        beyond = beyond.at_least(plan.resources.without(used))


def _join(network: IntegerNetwork, engines: Sequence[EnginePlan]) -> StageGraph:
    """Join engines by streams, and size window buffers and queues."""
    pace = max((engine.cycles for engine in engines), default=0)
    engines = match_lanes(network, engines, pace)
    sized = [
        _size_window(engine) if isinstance(engine, WindowedEngine) else engine for engine in engines
    ]
    return size_queues(join_engines(network, sized, pace))


def _budget(multipliers: int | None, budget: Budget | None, cycles: int | None) -> Budget:
    """Make a budget; with the default number of multipliers if nothing is given."""
    if budget is not None:
        return budget
    if multipliers is None and cycles is None:
        multipliers = DEFAULT_MULTIPLIERS
    return Budget(multipliers=multipliers)


def _goal_problems(
    multipliers: int | None, budget: Budget | None, cycles: int | None
) -> Iterator[str]:
    if multipliers is not None and budget is not None:
        yield "give multipliers, or a budget of them and other things; not both"
    yield from _budget(multipliers, budget, cycles).problems()
    if cycles is not None and not (is_integer(cycles) and cycles >= 1):
        yield f"cycles per frame must be an integer of at least 1, got {cycles!r}"


def _clock_problems(
    clock: Clock | None,
    frames_per_second: float | None,
    budget: Budget | None,
    cycles: int | None,
) -> Iterator[str]:
    if clock is not None and set((budget or Budget()).limits) <= {"multipliers"}:
        yield "an estimated clock needs a budget of more than multipliers, such as a device's"
    if clock is not None and cycles is not None:
        yield "give an estimated clock or cycles per frame, not both"
    if frames_per_second is not None and clock is None:
        yield "frames per second need an estimated clock; otherwise give cycles per frame"


def _size_window(engine: WindowedEngine) -> WindowedEngine:
    """Deepen the window buffer until, by the cycle model, the engine never waits for room."""
    return replace(engine, buffer_depth=_sufficient_depth(replace(engine, name="engine")))


@lru_cache(maxsize=256)
def _sufficient_depth(engine: WindowedEngine) -> int:
    """Double the depth of a window buffer until it suffices. Equal layers ask once."""
    for _ in range(MOST_DOUBLINGS):
        ends = compute_timeline(StageGraph.chain([engine]), STEADY_FRAMES).last_output
        if ends[-1] - ends[STEADY_FRAMES // 2] <= engine.cycles * (STEADY_FRAMES // 2 - 1):
            break
        engine = replace(engine, buffer_depth=2 * engine.buffer_depth)
    return engine.buffer_depth
