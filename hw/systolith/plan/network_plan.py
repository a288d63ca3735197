"""From an integer network to a pipeline of engines joined by streams."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from numbers import Integral
from typing import Any

import numpy as np

from systolith.network import INPUT, Add, AvgPool2d, Conv2d, IntegerNetwork, Linear, MaxPool2d
from systolith.plan.add_plan import AddPlan
from systolith.plan.arrays import bad_arrays, choose_arrays, least_cycles
from systolith.plan.conv_plan import ArrayShape, ConvPlan
from systolith.plan.depthwise_plan import DepthwisePlan
from systolith.plan.errors import PlanError
from systolith.plan.gather_plan import GatherPlan
from systolith.plan.joining import join
from systolith.plan.pool_plan import PoolPlan
from systolith.plan.queues import sized_queues
from systolith.plan.stages import EnginePlan, StageGraph, StagePlan, WindowedEngine
from systolith.plan.timeline import Timeline, timeline
from systolith.plan.work import Work, image_of, unsupported, window_of, work_of

__all__ = ["DEFAULT_MULTIPLIERS", "NetworkPlan", "plan_network"]

DEFAULT_MULTIPLIERS = 64
SETTLED = 4
MOST_FRAMES = 200
STEADY_FRAMES = 12
MOST_DOUBLINGS = 6


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """A network laid out as a pipeline of engines.

    Attributes
    ----------
    network : IntegerNetwork
        What is computed.
    graph : StageGraph
        Engines, and the gearboxes and forks between them.
    reloadable : bool
        Whether other weights of the same patterns can be loaded into the design.
    """

    network: IntegerNetwork
    graph: StageGraph
    reloadable: bool = False

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
        """Multipliers of all PE arrays; requantizers are counted apart."""
        return sum(engine.array.total for engine in self.convolutions)

    @property
    def requantizers(self) -> int:
        """Requantizer lanes."""
        return sum(
            engine.lanes_out
            for engine in self.engines
            if not isinstance(engine, PoolPlan) or engine.average
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
        """Share of what multipliers could do that is a kept multiplication, in the steady state.

        0..1; packed multipliers could do two in a cycle.
        """
        capacity = sum(engine.macs_per_cycle for engine in self.convolutions)
        return self.macs_kept / max(capacity * self.cycles_per_frame, 1)

    @property
    def latency_cycles(self) -> int:
        """Cycles from the first input to the last output of a single frame, inclusive."""
        return self._start.latency

    @property
    def steady_interval(self) -> int:
        """Cycles between the last two of the first frames, as the cycle model finds them."""
        return self._start.last_output[-1] - self._start.last_output[-2]

    def cycles(self, frames: int) -> int:
        """Cycles from the first input to the last output of frames sent back to back, inclusive.

        Exact: the first frames are evaluated event by event until the interval between outputs has
        settled, the others follow at that interval. It always settles in what :func:`plan_network`
        returns; with smaller buffers it can alternate, and then every frame is evaluated.
        """
        start = self._start
        known = len(start.last_output)
        if frames <= known:
            return start.last_output[frames - 1] - start.first_input[0] + 1
        if not _settled(start):
            return timeline(self.graph, frames).cycles
        return start.cycles + (frames - known) * self.steady_interval

    def _reads_input(self, stage: StagePlan) -> bool:
        return INPUT in self.graph.sources[stage.name]

    @cached_property
    def _start(self) -> Timeline:
        """The first frames, as many as it takes until the pipeline is full and regular."""
        frames = 2 * SETTLED
        while True:
            run = timeline(self.graph, frames)
            if _settled(run) or frames > MOST_FRAMES:
                return run
            frames *= 2


def _settled(run: Timeline) -> bool:
    """Whether the last frames entered and left at one and the same interval."""
    cycles = [np.diff(times[-SETTLED - 1 :]) for times in (run.first_input, run.last_output)]
    return len(np.unique(cycles)) == 1


def plan_network(
    network: IntegerNetwork,
    *,
    arrays: Mapping[str, ArrayShape] | None = None,
    multipliers: int = DEFAULT_MULTIPLIERS,
    reloadable: bool = False,
) -> NetworkPlan:
    """Lay a network out on engines.

    Array shapes that are not given are chosen so that the slowest layer is as fast as the budget
    allows, and no layer has more multipliers than it needs for that pace.

    Parameters
    ----------
    network : IntegerNetwork
        Convolutions, linear layers, additions, pools and flattenings.
    arrays : mapping of str to ArrayShape, optional
        Shapes that are fixed, by layer name. They count towards the budget, unless all are fixed.
    multipliers : int
        Budget for all PE arrays together.
    reloadable : bool
        Make all parameters loadable; sums and requantizers are then as wide as any weights of the
        same patterns may need.

    Returns
    -------
    NetworkPlan

    Raises
    ------
    PlanError
        With every layer that no engine supports, every array that does not fit its layer, or a
        budget that is too small.
    """
    shapes = dict(arrays or {})
    if problems := [
        *unsupported(network),
        *bad_arrays(network, shapes),
        *_bad_budget(multipliers),
    ]:
        raise PlanError(problems)
    weighted = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    works = [work_of(network, layer, reloadable=reloadable) for layer in weighted]
    if set(shapes) != {work.name for work in works}:
        shapes = choose_arrays(works, shapes, multipliers)
    pace = max((least_cycles(work, shapes[work.name]) for work in works), default=0)
    engines = [
        _sized(engine) if isinstance(engine, WindowedEngine) else engine
        for engine in _engines(network, works, shapes, pace)
    ]
    graph = join(network, engines, pace)
    return NetworkPlan(network=network, graph=sized_queues(graph), reloadable=reloadable)


def _engines(
    network: IntegerNetwork, works: Sequence[Work], shapes: Mapping[str, ArrayShape], pace: int
) -> Iterator[EnginePlan]:
    by_name = {work.name: work for work in works}
    for layer in network.layers:
        match layer:
            case Conv2d() | Linear():
                yield _conv_plan(by_name[layer.name], shapes[layer.name], pace)
            case MaxPool2d() | AvgPool2d():
                yield _pool_plan(network, layer, pace)
            case Add():
                yield _add_plan(network, layer, pace)


def _bad_budget(multipliers: int) -> Iterator[str]:
    if not isinstance(multipliers, Integral) or isinstance(multipliers, bool):
        yield f"the budget of multipliers must be an integer, got {multipliers!r}"


def _sized(engine: WindowedEngine) -> WindowedEngine:
    """Double the window buffer until, by the cycle model, the engine never waits for room."""
    for _ in range(MOST_DOUBLINGS):
        ends = timeline(StageGraph.chain([engine]), STEADY_FRAMES).last_output
        if ends[-1] - ends[STEADY_FRAMES // 2] <= engine.cycles * (STEADY_FRAMES // 2 - 1):
            break
        engine = replace(engine, buffer_depth=2 * engine.buffer_depth)
    return engine


def _conv_plan(work: Work, array: ArrayShape, pace: int) -> ConvPlan:
    """Plan one PE array, with the narrowest streams that keep the pace."""
    pixels = work.window.input_pixels
    pass_cycles = work.reads.folds(array.rows) * ceil(work.slots / array.multipliers)
    width = array.width
    common: dict[str, Any] = {
        "name": work.name,
        "window": work.window,
        "input": work.image,
        "output": work.output,
        "slots": work.slots,
        "reads": work.reads,
        "array": array,
        "lanes_out": _least_divisor(width, lambda lanes: width // lanes <= pass_cycles),
        "weight_bits": work.weight_bits,
        "acc_bits": work.acc_bits,
    }
    if work.multiplicity:
        words = work.transfers(array)
        return DepthwisePlan(
            **common,
            group=array.columns // work.multiplicity,
            groups_per_transfer=1,
            buffer_depth=_power_of_two(work.window.steady_span * words),
            multiplicity=work.multiplicity,
        )
    if work.gathers:
        channels = work.channels
        lanes = _least_divisor(channels, lambda lanes: pixels * (channels // lanes) <= pace)
        return GatherPlan(
            **common,
            group=lanes,
            groups_per_transfer=1,
            buffer_depth=_power_of_two(work.window.steady_span * (channels // lanes)),
        )
    banks, groups = work.reads.banks(array.rows), work.reads.groups
    return ConvPlan(
        **common,
        group=work.group,
        groups_per_transfer=_least_divisor(
            banks, lambda together: pixels * groups // together <= pace
        ),
        buffer_depth=_power_of_two(work.window.steady_span * (groups // banks)),
    )


def _pool_plan(network: IntegerNetwork, layer: MaxPool2d | AvgPool2d, pace: int) -> PoolPlan:
    """Plan a pool with the fewest lanes that keep the pace."""
    window = window_of(network, layer)
    output = network.tensors[layer.name]
    channels = output.shape[0]
    pixels = max(window.output_pixels * window.taps, window.input_pixels)
    lanes = _least_divisor(channels, lambda lanes: pixels * channels // lanes <= pace)
    return PoolPlan(
        name=layer.name,
        window=window,
        input=image_of(network, layer),
        output=output,
        buffer_depth=_power_of_two(window.steady_span * (channels // lanes)),
        lanes=lanes,
        average=isinstance(layer, AvgPool2d),
    )


def _add_plan(network: IntegerNetwork, layer: Add, pace: int) -> AddPlan:
    """Plan an addition with the fewest lanes that keep the pace."""
    output = network.tensors[layer.name]
    channels, *size = output.shape
    pixels = size[0] * size[1] if size else 1
    first, second = network.inputs_of(layer)
    lanes = _least_divisor(channels, lambda lanes: pixels * channels // lanes <= pace)
    return AddPlan(name=layer.name, inputs=(first, second), output=output, lanes=lanes)


def _least_divisor(number: int, suffices: Callable[[int], bool]) -> int:
    """Find the smallest divisor that suffices; `number` itself if none does."""
    divisors = (divisor for divisor in range(1, number + 1) if number % divisor == 0)
    return next((divisor for divisor in divisors if suffices(divisor)), number)


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 1).bit_length()
