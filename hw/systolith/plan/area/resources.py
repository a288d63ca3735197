"""Resources of each stage of a pipeline.

Multipliers and block RAMs are counted exactly; :mod:`systolith.plan.area.logic` estimates LUTs and
flip-flops.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from systolith.devices import BlockRam
from systolith.devices.budget import Resources
from systolith.network import ActType, signed_bits
from systolith.plan.area.engine_parts import EnginePart
from systolith.plan.area.logic import LogicShare, common_logic, logic_of, part_logic, sum_shares
from systolith.plan.area.requantizer_parts import search_of
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.arg_max_plan import ArgMaxPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.table_plan import TablePlan
from systolith.plan.moving.block_plan import BlockPlan
from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.moving.select_plan import SelectPlan
from systolith.plan.sizes.array_shape import MultiplierKind
from systolith.plan.sizes.memory import Memories, MemoryKind
from systolith.plan.sizes.partial_products import count_multipliers
from systolith.plan.sizes.requantizer_plan import RequantizerPlan
from systolith.plan.sizes.weight_memory import WeightMemory
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.stage_graph import StagePlan

__all__ = ["PartKinds", "engine_resources", "requantizer_dsps", "resources_of"]


RequantizedEngine = ConvPlan | AddPlan | MultiplyPlan | PoolPlan


def resources_of(stage: StagePlan, block: BlockRam, reloadable: bool = False) -> Resources:
    """Estimate the resources of a stage.

    Parameters
    ----------
    stage : StagePlan
    block : BlockRam
        The device's block RAM.
    reloadable : bool
        Whether parameters can be written; LUTs that hold them must then be RAM.
    """
    if isinstance(stage, ConvPlan):
        variants = engine_resources(
            stage,
            [stage.multiplier_kind],
            [stage.weight_memory],
            [stage.window_memory],
            block,
            reloadable,
        )
        ((_, resources),) = variants
        return resources
    logic = logic_of(stage, reloadable=reloadable)
    logic_used = Resources(luts=logic.luts, flip_flops=logic.flip_flops)
    match stage:
        case PoolPlan():
            memories = Resources(
                block_rams=_blocks(stage.window_memories, stage.window_memory, block)
            )
            return logic_used + memories + _requantizers(stage, block)
        case AddPlan():
            scaling = Resources(dsps=stage.lanes * _scaling_dsps(stage))
            return logic_used + scaling + _requantizers(stage, block)
        case MultiplyPlan():
            first, second = (_centred_bits(tensor.type) for tensor in stage.inputs)
            products = Resources(dsps=stage.lanes * count_multipliers(first, second))
            return logic_used + products + _requantizers(stage, block)
        case TablePlan():
            blocks = _blocks(stage.table_memories, stage.table_memory, block)
            return logic_used + Resources(block_rams=blocks)
        case ForkPlan():
            return logic_used + Resources(block_rams=_queues(stage, block))
        case BlockPlan():
            blocks = _blocks(stage.window_memories, stage.window_memory, block)
            return logic_used + Resources(block_rams=blocks)
        case GearboxPlan() | ConcatPlan() | SelectPlan() | ArgMaxPlan():
            return logic_used


PartKinds = tuple[MultiplierKind, WeightMemory, MemoryKind]
"""Kinds of multipliers, of weight memories and of the window buffer."""


def engine_resources(
    plan: ConvPlan,
    kinds: Sequence[MultiplierKind],
    weights: Sequence[WeightMemory],
    windows: Sequence[MemoryKind],
    block: BlockRam,
    reloadable: bool = False,
) -> Iterator[tuple[PartKinds, Resources]]:
    """Estimate the resources of an engine with each kind of multipliers and memories.

    Their common part is estimated once.

    Parameters
    ----------
    plan : ConvPlan
        The kinds of its own parts do not matter.
    kinds, windows : sequence
        Kinds of multipliers and of window buffers.
    weights : sequence of WeightMemory
    block : BlockRam
    reloadable : bool
        See :func:`resources_of`.

    Yields
    ------
    pair of PartKinds and Resources
        Each combination; the kind of the window buffer changes fastest.
    """
    common = common_logic(plan, reloadable=reloadable)
    requantizers, total = _requantizers(plan, block), plan.array.total

    def plan_with(part: EnginePart, kind: MultiplierKind | WeightMemory | MemoryKind) -> ConvPlan:
        change: dict[str, Any] = {part.value: kind}
        return plan if getattr(plan, part.value) == kind else replace(plan, **change)

    def logic_with(part: EnginePart, kind: MultiplierKind | MemoryKind) -> LogicShare:
        return part_logic(plan_with(part, kind), part, reloadable=reloadable)

    in_luts = {MultiplierKind.LUT} if plan.single_bits is None else set(MultiplierKind)
    multipliers = [
        (kind, 0 if kind in in_luts else total, logic_with(EnginePart.MULTIPLIERS, kind))
        for kind in kinds
    ]

    stores: list[tuple[WeightMemory, int, LogicShare]] = []
    for weight in weights:
        holding = plan_with(EnginePart.WEIGHTS, weight)
        blocks = sum(_blocks(memory, weight.kind, block) for memory in holding.weight_memories)
        logic = part_logic(holding, EnginePart.WEIGHTS, reloadable=reloadable)
        stores.append((weight, blocks, logic))
    buffers_by_kind = [
        (kind, _blocks(plan.window_memories, kind, block), logic_with(EnginePart.WINDOW, kind))
        for kind in windows
    ]
    for (kind, dsps, multiply), (weight, rams, held), (window, buffers, read) in product(
        multipliers, stores, buffers_by_kind
    ):
        total_logic = sum_shares([common, multiply, held, read])
        yield (
            (kind, weight, window),
            Resources(
                multipliers=total,
                dsps=dsps + requantizers.dsps,
                luts=total_logic.luts,
                block_rams=rams + buffers + requantizers.block_rams,
                flip_flops=total_logic.flip_flops,
            ),
        )


def _scaling_dsps(stage: AddPlan) -> int:
    """Multipliers that scale one pair of inputs."""
    dsps = 0
    for tensor, bits in zip(stage.inputs, stage.factor_bits, strict=True):
        dsps += count_multipliers(_centred_bits(tensor.type), bits)
    return dsps


def _centred_bits(act: ActType) -> int:
    """Width of the differences of activations from their zero point."""
    return signed_bits(act.low - act.zero_point, act.high - act.zero_point)


def requantizer_dsps(lanes: int, plan: RequantizerPlan) -> int:
    """Count the multipliers of requantizers."""
    if not plan.scale_bits:
        return 0
    return lanes * count_multipliers(plan.factor_bits, plan.scale_bits)


def _requantizers(stage: RequantizedEngine, block: BlockRam) -> Resources:
    """Count multipliers, or the blocks of thresholds."""
    plan = stage.requantizer
    if plan is None:
        return Resources()
    if not plan.threshold_bits:
        return Resources(dsps=requantizer_dsps(stage.lanes_out, plan))
    search = search_of(plan, stage.lanes_out, stage.transfers_per_pixel)
    return Resources(
        block_rams=sum(_blocks(memory, kind, block) for memory, kind in search.memories)
    )


def _queues(plan: ForkPlan, block: BlockRam) -> int:
    width = plan.lanes * plan.output.type.bits
    return sum(
        Memories(count=1, depth=depth, width=width).blocks(block)
        for depth, deep in zip(plan.depths, plan.deep, strict=True)
        if deep
    )


def _blocks(memory: Memories, kind: MemoryKind, block: BlockRam) -> int:
    return memory.blocks(block) if kind is MemoryKind.BLOCK else 0
