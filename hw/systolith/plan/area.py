"""What each stage of a pipeline takes of a device.

Multipliers and blocks of memory are counted; LUTs and flip-flops are estimated, see
:mod:`systolith.plan.logic`.
"""

from systolith.plan.add_plan import AddPlan
from systolith.plan.budget import Resources
from systolith.plan.conv_plan import ConvPlan, MultiplierKind
from systolith.plan.fork_plan import ForkPlan
from systolith.plan.gearbox_plan import GearboxPlan
from systolith.plan.logic import logic_of
from systolith.plan.memory import BlockRam, Memory, MemoryKind
from systolith.plan.pool_plan import PoolPlan
from systolith.plan.stages import StagePlan
from systolith.plan.work import SPARE_BIAS_BITS

__all__ = ["requantizer_dsps", "resources_of"]

DSP_BITS = 18
"""Of a factor of a device's multiplier."""


def resources_of(stage: StagePlan, block: BlockRam, reloadable: bool = False) -> Resources:
    """Count what a stage takes.

    Parameters
    ----------
    stage : StagePlan
    block : BlockRam
        What the device's blocks of memory are.
    reloadable : bool
        Whether parameters can be written, so that LUTs that hold them must be RAM.
    """
    logic = logic_of(stage, reloadable=reloadable)
    logic_used = Resources(luts=logic.luts, flip_flops=logic.flip_flops)
    spare = 1 + (SPARE_BIAS_BITS if reloadable else 0)
    match stage:
        case ConvPlan():
            return logic_used + _conv(stage, block)
        case PoolPlan():
            memories = Resources(
                block_rams=_blocks(stage.window_memories, stage.window_memory, block)
            )
            dsps = requantizer_dsps(stage.lanes, stage.sum_bits + spare, stage.scale_bits)
            return logic_used + memories + Resources(dsps=dsps if stage.average else 0)
        case AddPlan():
            dsps = requantizer_dsps(stage.lanes, stage.sum_bits + spare, stage.scale_bits)
            return logic_used + Resources(dsps=2 * stage.lanes + dsps)
        case ForkPlan():
            return logic_used + Resources(block_rams=_queues(stage, block))
        case GearboxPlan():
            return logic_used


def _conv(plan: ConvPlan, block: BlockRam) -> Resources:
    total = plan.array.total
    multiply = 0 if plan.multiplier_kind is MultiplierKind.LUT else total
    return Resources(
        multipliers=total,
        dsps=multiply + requantizer_dsps(plan.lanes_out, plan.biased_bits, plan.scale_bits),
        block_rams=_blocks(plan.weight_memories, plan.weight_memory, block)
        + _blocks(plan.window_memories, plan.window_memory, block),
    )


def requantizer_dsps(lanes: int, bits: int, scale_bits: int) -> int:
    """Multipliers of requantizers whose factor is so wide; none if they only shift."""
    if not scale_bits:
        return 0
    return lanes * _limbs(bits) * _limbs(scale_bits)


def _limbs(bits: int) -> int:
    """Digits of a device's multiplier that a factor has; single bits are multiplied by gates."""
    return bits // DSP_BITS + (bits % DSP_BITS > 1)


def _queues(plan: ForkPlan, block: BlockRam) -> int:
    width = plan.lanes * plan.tensor.type.bits
    return sum(
        Memory(count=1, depth=depth, width=width).blocks(block)
        for depth, deep in zip(plan.depths, plan.deep, strict=True)
        if deep
    )


def _blocks(memory: Memory, kind: MemoryKind, block: BlockRam) -> int:
    return memory.blocks(block) if kind is MemoryKind.BLOCK else 0
