"""Resources of each stage of a pipeline.

Multipliers and block RAMs are counted exactly; :mod:`systolith.plan.area.logic` estimates LUTs and
flip-flops.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from systolith.devices import BlockRam
from systolith.devices.budget import Resources
from systolith.network import ActType, signed_bits
from systolith.plan.area.engine_parts import EnginePart, search_of
from systolith.plan.area.logic import LogicShare, common_logic, logic_of, part_logic, sum_shares
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
from systolith.plan.sizes.requantizer_widths import SPARE_BIAS_BITS
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.stage_graph import StagePlan

__all__ = ["PartKinds", "engine_resources", "requantizer_dsps", "resources_of"]

DSP_BITS = 18
"""Bits of a factor of a device's multiplier."""


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
            dsps = requantizer_dsps(stage.lanes, _factor_bits(stage, reloadable), stage.scale_bits)
            thresholds = Resources(block_rams=_threshold_blocks(stage, block))
            used = Resources(dsps=dsps if stage.average else 0)
            return logic_used + memories + thresholds + used
        case AddPlan():
            dsps = requantizer_dsps(stage.lanes, _factor_bits(stage, reloadable), stage.scale_bits)
            return logic_used + Resources(
                dsps=stage.lanes * _scaling_dsps(stage) + dsps,
                block_rams=_threshold_blocks(stage, block),
            )
        case MultiplyPlan():
            dsps = requantizer_dsps(stage.lanes, _factor_bits(stage, reloadable), stage.scale_bits)
            factors = prod(_limbs(_centred_bits(tensor.type)) for tensor in stage.inputs)
            return logic_used + Resources(
                dsps=stage.lanes * factors + dsps,
                block_rams=_threshold_blocks(stage, block),
            )
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


PartKinds = tuple[MultiplierKind, MemoryKind, MemoryKind]
"""Kinds of multipliers, of weight memories and of the window buffer."""


def engine_resources(
    plan: ConvPlan,
    kinds: Sequence[MultiplierKind],
    weights: Sequence[MemoryKind],
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
    kinds, weights, windows : sequence
        Kinds of multipliers, of weight memories and of window buffers.
    block : BlockRam
    reloadable : bool
        See :func:`resources_of`.

    Yields
    ------
    pair of PartKinds and Resources
        Each combination; the kind of the window buffer changes fastest.
    """
    common = common_logic(plan, reloadable=reloadable)
    requantizers = requantizer_dsps(plan.lanes_out, plan.biased_bits, plan.scale_bits)
    total, thresholds = plan.array.total, _threshold_blocks(plan, block)

    def logic_with(part: EnginePart, kind: MultiplierKind | MemoryKind) -> LogicShare:
        change: dict[str, Any] = {part.value: kind}
        same = getattr(plan, part.value) is kind
        return part_logic(plan if same else replace(plan, **change), part, reloadable=reloadable)

    in_luts = {MultiplierKind.LUT} if plan.single_bits is None else set(MultiplierKind)
    multipliers = [
        (kind, 0 if kind in in_luts else total, logic_with(EnginePart.MULTIPLIERS, kind))
        for kind in kinds
    ]

    def memories(
        part: EnginePart, kinds: Sequence[MemoryKind], memory: Memories
    ) -> list[tuple[MemoryKind, int, LogicShare]]:
        return [(kind, _blocks(memory, kind, block), logic_with(part, kind)) for kind in kinds]

    for (kind, dsps, multiply), (weight, rams, held), (window, buffers, read) in product(
        multipliers,
        memories(EnginePart.WEIGHTS, weights, plan.weight_memories),
        memories(EnginePart.WINDOW, windows, plan.window_memories),
    ):
        logic = sum_shares([common, multiply, held, read])
        yield (
            (kind, weight, window),
            Resources(
                multipliers=total,
                dsps=dsps + requantizers,
                luts=logic.luts,
                block_rams=rams + buffers + thresholds,
                flip_flops=logic.flip_flops,
            ),
        )


def _scaling_dsps(stage: AddPlan) -> int:
    """Multipliers that scale one pair of inputs."""
    dsps = 0
    for tensor, bits in zip(stage.inputs, stage.factor_bits, strict=True):
        dsps += _limbs(_centred_bits(tensor.type)) * _limbs(bits)
    return dsps


def _centred_bits(act: ActType) -> int:
    """Width of the differences of activations from their zero point."""
    return signed_bits(act.low - act.zero_point, act.high - act.zero_point)


def _factor_bits(stage: AddPlan | MultiplyPlan | PoolPlan, reloadable: bool) -> int:
    """Width of a requantizer's factor: a sum plus a bias of 0, or plus any loadable bias."""
    if stage.offset_bits:
        return stage.sum_bits
    return stage.sum_bits + 1 + (SPARE_BIAS_BITS if reloadable else 0)


def requantizer_dsps(lanes: int, bits: int, scale_bits: int) -> int:
    """Count the multipliers of requantizers with factors of `bits` and `scale_bits`."""
    if not scale_bits:
        return 0
    return lanes * _limbs(bits) * _limbs(scale_bits)


def _limbs(bits: int) -> int:
    """Factors of a device's multiplier that cover `bits`; gates multiply a single bit."""
    return bits // DSP_BITS + (bits % DSP_BITS > 1)


def _queues(plan: ForkPlan, block: BlockRam) -> int:
    width = plan.lanes * plan.output.type.bits
    return sum(
        Memories(count=1, depth=depth, width=width).blocks(block)
        for depth, deep in zip(plan.depths, plan.deep, strict=True)
        if deep
    )


def _threshold_blocks(stage: ConvPlan | AddPlan | MultiplyPlan | PoolPlan, block: BlockRam) -> int:
    """Count the blocks of the thresholds that requantizers count."""
    if not stage.threshold_bits:
        return 0
    return sum(_blocks(memory, kind, block) for memory, kind in search_of(stage).memories)


def _blocks(memory: Memories, kind: MemoryKind, block: BlockRam) -> int:
    return memory.blocks(block) if kind is MemoryKind.BLOCK else 0
