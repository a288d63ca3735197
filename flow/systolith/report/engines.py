"""What the plan says, engine by engine and in sum."""

from dataclasses import asdict, dataclass
from typing import Any

from systolith.plan import ConvPlan, NetworkPlan, PoolPlan, StagePlan

__all__ = ["EngineRow", "engine_rows", "performance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """One stage of the pipeline, its cycles per frame and what it takes.

    Attributes
    ----------
    name : str
    array : str
        Rows x columns x multipliers per PE; empty if the stage is no PE array.
    multiplier_kind : str
        ``DSP`` or ``LUT``; empty if there is no PE array.
    packed : int
        Filters per multiplier; 0 if there is no PE array.
    weight_memory, window_memory : str
        ``block`` or ``distributed``; empty if there is none.
    multipliers, dsps, luts, block_rams, flip_flops : int
        LUTs and flip-flops are estimates.
    lanes : str
        Channels per transfer, in and out.
    cycles : int
        Per frame.
    idle : float
        Share of the cycles per frame in which the stage has nothing to do.
    bottleneck : bool
        Whether it sets the pace.
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


def engine_rows(plan: NetworkPlan) -> list[EngineRow]:
    """Describe each stage of the pipeline."""
    return [_row(plan, stage) for stage in plan.stages]


def _row(plan: NetworkPlan, stage: StagePlan) -> EngineRow:
    shape = stage.array if isinstance(stage, ConvPlan) else None
    return EngineRow(
        name=stage.name,
        array=f"{shape.rows}x{shape.columns}x{shape.multipliers}" if shape else "",
        multiplier_kind=stage.multiplier_kind.value if isinstance(stage, ConvPlan) else "",
        packed=shape.packed if shape else 0,
        weight_memory=stage.weight_memory.value if isinstance(stage, ConvPlan) else "",
        window_memory=stage.window_memory.value if isinstance(stage, ConvPlan | PoolPlan) else "",
        **asdict(plan.resources_of(stage)),
        lanes=f"{stage.lanes_in} -> {stage.lanes_out}",
        cycles=stage.cycles,
        idle=1 - stage.cycles / plan.cycles_per_frame,
        bottleneck=stage.cycles == plan.cycles_per_frame,
    )


def performance(
    plan: NetworkPlan, *, clock_mhz: float | None = None, fmax_mhz: float | None = None
) -> dict[str, Any]:
    """Sum up what the cycle model says, and what the engines take of their budget.

    Cycles per frame, latency, multiplications and utilization; ``resources`` and ``budget`` by
    kind of resource, the budget of those that are limited; with a clock, frames per second; with an
    estimate of the clock that can be reached, that.
    """
    clocked = {}
    if clock_mhz is not None:
        rate = clock_mhz * 1e6 / plan.cycles_per_frame
        clocked = {"clock_mhz": clock_mhz, "frames_per_second": rate}
    estimated = {} if fmax_mhz is None else {"fmax_mhz_estimated": fmax_mhz}
    return {
        "cycles_per_frame": plan.cycles_per_frame,
        "latency_cycles": plan.latency_cycles,
        **clocked,
        **estimated,
        "bottleneck": plan.bottleneck,
        "multipliers": plan.multipliers,
        "requantizers": plan.requantizers,
        "macs_dense": plan.macs_dense,
        "macs_kept": plan.macs_kept,
        "utilization": plan.utilization,
        "resources": asdict(plan.resources),
        "budget": plan.budget.limits,
    }
