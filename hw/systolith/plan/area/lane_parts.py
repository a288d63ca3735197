"""Parts of engines without a PE array: additions, products, pools, tables and blocks."""

from collections import Counter

from systolith.plan.area.parts import (
    LutsAndFlipFlops,
    buffer_parts,
    counter_bits,
    double_buffer_parts,
    join_parts,
)
from systolith.plan.area.requantizer_parts import (
    FIRST_SHIFT,
    partial_registers,
    partial_sum_adders,
    requantizer_parts,
)
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.arg_max_plan import ArgMaxPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.table_plan import TablePlan
from systolith.plan.moving.block_plan import BlockPlan
from systolith.plan.sizes.latency import WEIGH_LATENCY
from systolith.plan.sizes.memory import MemoryKind
from systolith.plan.streams.stage_graph import WindowedEngine

__all__ = [
    "addition_parts",
    "arg_max_parts",
    "block_parts",
    "multiply_parts",
    "pool_parts",
    "table_parts",
    "window_parts",
]

BufferedEngine = AddPlan | MultiplyPlan | PoolPlan | TablePlan | BlockPlan | ArgMaxPlan


def addition_parts(plan: AddPlan, reloadable: bool) -> LutsAndFlipFlops:
    """Count products, rounded products and their sum; then what all results need."""
    adders, registers = [plan.sum_bits], [plan.sum_bits]
    for number, tensor in enumerate(plan.inputs):
        act, factor = tensor.type.bits, plan.factor_bits[number]
        adders += partial_sum_adders(act, factor)
        registers += [act + factor, *partial_registers(act, factor)]
        if plan.input_shifts is not None:
            dropped = max(plan.input_shifts[number] - 1 - plan.left_shift, 0)
            kept = max(act + factor - dropped, 1)
            adders += [kept]
            registers += [kept, kept]
            if plan.requantizer.rounds_twice and plan.input_shifts[number] >= FIRST_SHIFT:
                adders += [kept]
    luts = Counter({"adders": plan.lanes * len(adders), "summed bits": plan.lanes * sum(adders)})
    own = luts, Counter({"register bits": plan.lanes * sum(registers) + plan.latency})
    return join_parts(own, _entrances(plan), _requantizers(plan, reloadable), _output(plan))


def multiply_parts(plan: MultiplyPlan, reloadable: bool) -> LutsAndFlipFlops:
    """Count products; then what all results need."""
    first, second = (tensor.type.bits for tensor in plan.inputs)
    adders = partial_sum_adders(first, second)
    luts = Counter({"adders": plan.lanes * len(adders), "summed bits": plan.lanes * sum(adders)})
    own = luts, Counter({"register bits": plan.lanes * plan.sum_bits + plan.latency})
    return join_parts(own, _entrances(plan), _requantizers(plan, reloadable), _output(plan))


def pool_parts(plan: PoolPlan, reloadable: bool) -> LutsAndFlipFlops:
    """Count the window, maxima or sums, and what averages need."""
    bits = plan.lanes * plan.input.type.bits
    luts = Counter({"filled bits": bits})
    registers = 3 * bits + plan.latency
    if not plan.average:
        luts["compared bits"] = luts["selected bits"] = bits
        registers += bits
    else:
        luts["adders"] = plan.lanes
        luts["summed bits"] = plan.lanes * plan.window_bits
        registers += plan.lanes * plan.window_bits
    if plan.weighs:
        # One adder for each digit of a factor but the first, and one multiplexer for each axis.
        adders = sum(
            sum(factor.bit_count() for factor in {*factors}) - 1
            for factors in (plan.row_factors, plan.column_factors)
        )
        luts["weighed bits"] = plan.lanes * plan.sum_bits * adders
        registers += WEIGH_LATENCY * plan.lanes * plan.sum_bits
    own = luts, Counter({"register bits": registers})
    return join_parts(_line_buffer(plan), own, _requantizers(plan, reloadable), _output(plan))


def block_parts(plan: BlockPlan) -> LutsAndFlipFlops:
    """Count a line buffer that is read block by block."""
    registers = 2 * plan.lanes * plan.input.type.bits + plan.latency
    own = Counter[str](), Counter({"register bits": registers})
    return join_parts(_line_buffer(plan), own, _output(plan))


def table_parts(plan: TablePlan, reloadable: bool) -> LutsAndFlipFlops:
    """Count addresses, and values that block RAM does not contain."""
    luts, flip_flops = Counter[str](), Counter[str]()
    flip_flops["register bits"] = plan.lanes * plan.input.type.bits + plan.latency
    if plan.table_memory is MemoryKind.DISTRIBUTED:
        luts["RAM" if reloadable else "ROM"] += plan.table_memories.luts(written=reloadable)
        flip_flops["register bits"] += 2 * plan.lanes * plan.output.type.bits
    if reloadable:
        luts["loading"] = flip_flops["loading"] = plan.table_memories.load_luts
    return join_parts((luts, flip_flops), _output(plan))


def arg_max_parts(plan: ArgMaxPlan) -> LutsAndFlipFlops:
    """Count comparisons, choices of a value and its number, and the registers between levels.

    These comparisons take two LUTs for each bit.
    """
    bits, number = plan.input.type.bits, plan.output.type.bits
    registers, left = plan.lanes * bits, plan.lanes
    for level in range(plan.levels):
        left = (left + 1) // 2
        registers += left * (bits + level + 1)
    # One transfer per pixel needs no greatest value so far.
    compared = plan.lanes - (plan.transfers_in == 1)
    registers += bits + 2 * number + 3 * plan.latency
    luts = Counter(
        {
            "compared bits": 2 * compared * bits,
            "selected bits": compared * (bits + plan.lane_bits),
        }
    )
    return join_parts((luts, Counter({"register bits": registers})), _output(plan))


def window_parts(plan: WindowedEngine) -> LutsAndFlipFlops:
    """Count the writer of a window buffer, and the sequencer of its reads."""
    parts = Counter(
        {"window": 1, "position bits": plan.position_bits + counter_bits(plan.buffer_depth)}
    )
    return parts, Counter(parts)


def _line_buffer(plan: PoolPlan | BlockPlan) -> LutsAndFlipFlops:
    """Count a window with its memory, if that is not block RAM."""
    if plan.window_memory is MemoryKind.BLOCK:
        return window_parts(plan)
    memory = Counter({"RAM": plan.window_memories.luts(written=True)})
    read = Counter({"register bits": 2 * plan.lanes * plan.input.type.bits})
    return join_parts(window_parts(plan), (memory, read))


def _entrances(plan: AddPlan | MultiplyPlan) -> LutsAndFlipFlops:
    """Count the registers of both inputs."""
    widths = [plan.lanes * tensor.type.bits for tensor in plan.inputs]
    return join_parts(*map(double_buffer_parts, widths))


def _requantizers(plan: AddPlan | MultiplyPlan | PoolPlan, reloadable: bool) -> LutsAndFlipFlops:
    if plan.requantizer is None:
        return Counter(), Counter()
    return requantizer_parts(plan.requantizer, plan.lanes, plan.transfers_per_pixel, reloadable)


def _output(plan: BufferedEngine) -> LutsAndFlipFlops:
    return buffer_parts(plan.fifo_depth, plan.lanes_out * plan.output.type.bits)
