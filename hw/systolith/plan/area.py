"""What each stage of a pipeline takes of a device.

Multipliers and blocks of memory are counted; LUTs are estimated from what yosys 0.70 makes of the
parts for ECP5 (a PE, a requantizer, a memory at a time).
"""

from math import ceil

from systolith.plan.add_plan import AddPlan
from systolith.plan.budget import Resources
from systolith.plan.conv_plan import ConvPlan, MultiplierKind
from systolith.plan.fork_plan import ForkPlan
from systolith.plan.gather_plan import GatherPlan
from systolith.plan.gearbox_plan import GearboxPlan
from systolith.plan.memory import BlockRam, Memory, MemoryKind
from systolith.plan.pool_plan import PoolPlan
from systolith.plan.stages import StagePlan

__all__ = ["resources_of"]

DSP_BITS = 19
"""Width of a factor up to which one DSP multiplier is enough: the highest bit is done by LUTs."""
SEQUENCER_LUTS = 250
STREAM_LUTS = 20


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
    match stage:
        case ConvPlan():
            return _conv(stage, block, reloadable)
        case PoolPlan():
            return _pool(stage, block)
        case AddPlan():
            return _add(stage, reloadable)
        case ForkPlan():
            return _fork(stage, block)
        case GearboxPlan():
            wide = max(stage.lanes_in, stage.lanes_out) * stage.tensor.type.bits
            return Resources(luts=wide + STREAM_LUTS)


def _conv(plan: ConvPlan, block: BlockRam, reloadable: bool) -> Resources:
    array, acc_bits = plan.array, plan.acc_bits
    by_luts = plan.multiplier_kind is MultiplierKind.LUT
    pes = array.rows * array.columns
    collector = plan.width * acc_bits + acc_bits * plan.lanes_out * _select(plan.drain_cycles)
    rows = 0 if isinstance(plan, GatherPlan) else array.rows * _row_luts(plan, reloadable)
    luts = (
        SEQUENCER_LUTS
        + pes * _pe_luts(plan)
        + rows
        + collector
        + _output_luts(plan.transfers_per_pixel, plan, reloadable)
    )
    return (
        Resources(multipliers=array.total, dsps=0 if by_luts else array.total, luts=luts)
        + _requantizers(plan.lanes_out, acc_bits, plan.scale_bits)
        + _memory(plan.weight_memories, plan.weight_memory, block, written=reloadable)
        + Resources(luts=plan.weight_memories.load_luts if reloadable else 0)
        + _memory(plan.window_memories, plan.window_memory, block, written=True)
    )


def _pe_luts(plan: ConvPlan) -> int:
    act_bits, multipliers = plan.input.type.bits, plan.array.multipliers
    selected = plan.group if plan.index_bits else 1
    choose = multipliers * act_bits * _select(selected)
    add_up = (multipliers - 1) * plan.packed * (plan.weight_bits + act_bits + 2)
    products = multipliers * plan.packed
    multiply = 0
    if plan.multiplier_kind is MultiplierKind.LUT:
        multiply = products * plan.weight_bits * (2 * act_bits + 5)
    elif plan.packed > 1:
        multiply = products * plan.weight_bits
    return choose + multiply + add_up + plan.packed * plan.acc_bits


def _row_luts(plan: ConvPlan, reloadable: bool) -> int:
    """Of what reads a row's activations: its table of taps, an address, the padding."""
    height, width = plan.window.kernel
    address = (plan.buffer_depth - 1).bit_length()
    tap_bits = address + (height - 1).bit_length() + (width - 1).bit_length()
    taps = Memory(count=1, depth=plan.folds, width=tap_bits)
    written = reloadable and plan.skips_taps
    return _parameters(taps, loadable=written) + 2 * address + plan.group * plan.input.type.bits


def _output_luts(depth: int, plan: ConvPlan | AddPlan, reloadable: bool) -> int:
    """Of the parameters of the requantizers, and the output buffer."""
    acc_bits = plan.acc_bits if isinstance(plan, ConvPlan) else 0
    word = acc_bits + plan.scale_bits + 5
    parameters = Memory(count=plan.lanes_out, depth=depth, width=word)
    bits = plan.lanes_out * plan.output.type.bits
    fifo = Memory(count=1, depth=plan.fifo_depth, width=bits)
    return _parameters(parameters, loadable=reloadable) + fifo.luts(written=True) + STREAM_LUTS


def _requantizers(lanes: int, acc_bits: int, scale_bits: int) -> Resources:
    """The bias makes an accumulator one bit wider; a shift by any number of bits takes most."""
    if not scale_bits:
        return Resources(luts=lanes * 10 * (acc_bits + 1))
    dsps = 1 if acc_bits + 1 <= DSP_BITS else 2
    return Resources(dsps=lanes * dsps, luts=lanes * max(12 * (acc_bits + 17) - 40, 0))


def _pool(plan: PoolPlan, block: BlockRam) -> Resources:
    bits = plan.input.type.bits
    acc_bits = bits + ceil(plan.window.taps).bit_length()
    luts = SEQUENCER_LUTS + STREAM_LUTS + 3 * plan.lanes * bits
    requantizers = (
        _requantizers(plan.lanes, acc_bits, plan.scale_bits) if plan.average else Resources()
    )
    window = _memory(plan.window_memories, plan.window_memory, block, written=True)
    return Resources(luts=luts) + requantizers + window


def _add(plan: AddPlan, reloadable: bool) -> Resources:
    """Two products with constants of 16 bits, their sum, a requantizer for each lane."""
    bits = max(tensor.type.bits for tensor in plan.inputs) + plan.scale_bits + 2
    lanes = Resources(dsps=2 * plan.lanes, luts=plan.lanes * bits)
    output = Resources(luts=_output_luts(1, plan, reloadable))
    return lanes + output + _requantizers(plan.lanes, bits, plan.scale_bits)


def _fork(plan: ForkPlan, block: BlockRam) -> Resources:
    bits = plan.lanes * plan.tensor.type.bits
    used = Resources()
    for depth, deep in zip(plan.depths, plan.deep, strict=True):
        kind = MemoryKind.BLOCK if deep else MemoryKind.DISTRIBUTED
        used += _memory(Memory(count=1, depth=depth, width=bits), kind, block, written=True)
        used += Resources(luts=STREAM_LUTS)
    return used


def _memory(memory: Memory, kind: MemoryKind, block: BlockRam, *, written: bool) -> Resources:
    if kind is MemoryKind.BLOCK:
        return Resources(block_rams=memory.blocks(block))
    return Resources(luts=memory.luts(written=written))


def _parameters(memory: Memory, *, loadable: bool) -> int:
    """LUTs of a table, and of what loads it."""
    return memory.luts(written=loadable) + (memory.load_luts if loadable else 0)


def _select(parts: int) -> int:
    """LUTs for each bit of a choice among so many."""
    return parts // 2 + parts // 8 if parts > 1 else 0
