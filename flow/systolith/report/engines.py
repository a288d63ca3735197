"""The planned engines, one by one and in sum."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from systolith.plan import (
    ConvPlan,
    MemoryKind,
    NetworkPlan,
    PoolPlan,
    Queue,
    RoutingEstimate,
    StagePlan,
    list_queues,
)

__all__ = [
    "EngineRow",
    "PerformanceResult",
    "QueueRow",
    "engine_rows",
    "estimate_performance",
    "queue_rows",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """One stage of the pipeline, with its cycles and resources.

    Attributes
    ----------
    name : str
    array : str
        Rows x columns x multipliers per PE; empty for other stages.
    multiplier_kind : str
        ``DSP`` or ``LUT``; empty for other stages.
    packed : int
        Filters per multiplier; 0 for other stages.
    weight_memory, window_memory : str
        ``block`` or ``distributed``; empty if the stage has none.
    multipliers, dsps, luts, block_rams, flip_flops : int
        LUTs and flip-flops are estimates.
    lanes : str
        Channels per transfer, in and out.
    cycles : int
        Per frame.
    idle : float
        Share of the cycles per frame in which the stage waits, 0..1.
    bottleneck : bool
        Whether no stage needs more cycles per frame.
    """

    name: str
    array: str
    multiplier_kind: str
    packed: int
    weight_memory: str
    window_memory: str
    multipliers: int
    dsps: int
    luts: int
    block_rams: int
    flip_flops: int
    lanes: str
    cycles: int
    idle: float
    bottleneck: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """One queue, as shallow as the pace of the pipeline allows.

    Attributes
    ----------
    stage : str
        The stage that fills it: a fork, which copies a stream for several readers, or a queue.
    reader : str
        The engine that reads it, or ``output``.
    depth, width, bits : int
        Transfers that it holds, bits of a transfer, and bits of all.
    memory : str
        ``block`` or ``distributed``.
    luts, block_rams : int
        LUTs are an estimate.
    reason : str
        What its transfers wait for.
    """

    stage: str
    reader: str
    depth: int
    width: int
    bits: int
    memory: str
    luts: int
    block_rams: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceResult:
    """Results of the cycle model and the resource model.

    Attributes
    ----------
    cycles_per_frame, latency_cycles : int
    clock_mhz, frames_per_second : float or None
        None if the experiment names no clock.
    fmax_mhz_estimated : float or None
        None if there is no model of the device's clock.
    bottleneck : str
        Name of the slowest stage.
    multipliers, requantizers : int
    macs_dense, macs_kept : int
        Multiplications per frame without and with the weights that are skipped.
    macs_unpruned : int or None
        Multiplications per frame before filters were removed.
    utilization : float
        Share of the multipliers' cycles in which they multiply, 0..1.
    resources, budget : mapping of str to int
        By kind of resource; a kind without a budget is not limited.
    routing : mapping of str, or None
        Fields of :class:`systolith.plan.RoutingEstimate`; None if there is no device or no data.
    """

    cycles_per_frame: int
    latency_cycles: int
    clock_mhz: float | None = None
    frames_per_second: float | None = None
    fmax_mhz_estimated: float | None = None
    bottleneck: str
    multipliers: int
    requantizers: int
    macs_dense: int
    macs_kept: int
    utilization: float
    resources: Mapping[str, int]
    budget: Mapping[str, int]
    routing: Mapping[str, Any] | None = None
    macs_unpruned: int | None = None

    @property
    def macs_before(self) -> int:
        """Multiplications per frame before anything was pruned."""
        return self.macs_dense if self.macs_unpruned is None else self.macs_unpruned

    def to_json(self) -> dict[str, Any]:
        """Return the section ``performance``."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not None}


def engine_rows(plan: NetworkPlan) -> tuple[EngineRow, ...]:
    """Describe each stage of the pipeline."""
    return tuple(_row(plan, stage) for stage in plan.stages)


def _row(plan: NetworkPlan, stage: StagePlan) -> EngineRow:
    shape = stage.array if isinstance(stage, ConvPlan) else None
    return EngineRow(
        name=stage.name,
        array=f"{shape.rows}x{shape.columns}x{shape.multipliers}" if shape else "",
        multiplier_kind=stage.multiplier_kind.value if isinstance(stage, ConvPlan) else "",
        packed=shape.packed if shape else 0,
        weight_memory=stage.weight_memory.kind.value if isinstance(stage, ConvPlan) else "",
        window_memory=stage.window_memory.value if isinstance(stage, ConvPlan | PoolPlan) else "",
        **asdict(plan.resources_of(stage)),
        lanes=f"{stage.lanes_in} -> {stage.lanes_out}",
        cycles=stage.cycles,
        idle=1 - stage.cycles / plan.cycles_per_frame,
        bottleneck=stage.cycles == plan.cycles_per_frame,
    )


def queue_rows(plan: NetworkPlan) -> tuple[QueueRow, ...]:
    """Describe each queue, in the order of the data flow."""
    return tuple(_queue_row(plan, queue) for queue in list_queues(plan.graph))


def _queue_row(plan: NetworkPlan, queue: Queue) -> QueueRow:
    used = plan.resources_of(replace(queue.fork, depths=(queue.depth,)))
    return QueueRow(
        stage=queue.fork.name,
        reader=queue.reader or "output",
        depth=queue.depth,
        width=queue.width,
        bits=queue.depth * queue.width,
        memory=(MemoryKind.BLOCK if queue.deep else MemoryKind.DISTRIBUTED).value,
        luts=used.luts,
        block_rams=used.block_rams,
        reason=queue.reason,
    )


def estimate_performance(
    plan: NetworkPlan,
    *,
    clock_mhz: float | None = None,
    fmax_mhz: float | None = None,
    routing: RoutingEstimate | None = None,
) -> PerformanceResult:
    """Summarize the cycle model and the resources of a plan.

    Parameters
    ----------
    plan : NetworkPlan
    clock_mhz : float, optional
        For frames per second.
    fmax_mhz : float, optional
        Estimate of the clock that the device reaches.
    routing : RoutingEstimate, optional
        Estimate of place and route on the device.
    """
    rate = None if clock_mhz is None else clock_mhz * 1e6 / plan.cycles_per_frame
    return PerformanceResult(
        cycles_per_frame=plan.cycles_per_frame,
        latency_cycles=plan.latency_cycles,
        clock_mhz=clock_mhz,
        frames_per_second=rate,
        fmax_mhz_estimated=fmax_mhz,
        bottleneck=plan.bottleneck,
        multipliers=plan.multipliers,
        requantizers=plan.requantizers,
        macs_dense=plan.macs_dense,
        macs_kept=plan.macs_kept,
        utilization=plan.utilization,
        resources=asdict(plan.resources),
        budget=plan.budget.limits,
        routing=None if routing is None else asdict(routing),
    )
