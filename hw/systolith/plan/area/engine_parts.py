"""Parts of engines with a PE array that take LUTs and flip-flops.

Multipliers, weight memories and the window buffer can each be of several kinds. Their parts are
counted separately, so that engines that differ only in these kinds share all other counts.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum

from systolith.plan.area.lane_parts import window_parts
from systolith.plan.area.parts import (
    LutsAndFlipFlops,
    Parts,
    add_parts,
    buffer_parts,
    chain_luts,
    join_parts,
    lut_terms_luts,
    lut_tree_sums,
    select_luts,
)
from systolith.plan.area.requantizer_parts import requantizer_parts
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.sizes.array_shape import Feed, MultiplierKind
from systolith.plan.sizes.latency import lut_terms
from systolith.plan.sizes.memory import Memories, MemoryKind
from systolith.plan.sizes.popcount import count_tree

__all__ = ["BY_PART", "COMMON", "EnginePart", "PartsOf"]


class EnginePart(Enum):
    """Parts of an engine whose kind can be chosen; values are attributes of ConvPlan."""

    MULTIPLIERS = "multiplier_kind"
    WEIGHTS = "weight_memory"
    WINDOW = "window_memory"


def _common_luts(plan: ConvPlan, reloadable: bool) -> Parts:
    array, act_bits = plan.array, plan.stored.bits
    pes = array.rows * array.columns
    products = pes * array.multipliers * plan.packed
    tree = (products - pes * plan.packed) * _product_bits(plan)
    if plan.single_bits is not None:
        tree = pes * _counting_luts(array.multipliers)
    choices = select_luts(plan.group if plan.index_bits else 1)
    selected = pes * array.multipliers * act_bits * choices
    parts = Counter(
        {
            "selected bits": selected,
            "tree bits": tree,
            "psum bits": pes * plan.packed * plan.acc_bits,
            "accumulator bits": plan.width * plan.acc_bits,
            "drained bits": plan.acc_bits * plan.lanes_out * select_luts(plan.drain_cycles),
        }
    )
    if plan.feed is Feed.GATHERED:
        parts["gathered bits"] = pes * (_step_bits(plan) + plan.window.taps)
    else:
        groups = array.rows * plan.group * act_bits
        parts["row bits"] = plan.readers * 2 * _address_bits(plan) + groups
        taps = _taps(plan)
        parts["RAM" if reloadable and plan.skips_taps else "ROM"] += taps.luts(
            written=reloadable and plan.skips_taps
        )
    return add_parts(_ends(plan, reloadable)[0], parts)


def _multiplier_luts(plan: ConvPlan, reloadable: bool) -> Parts:
    """Multipliers, and the output buffer, whose depth follows from their latency."""
    array = plan.array
    parts = _output(plan)[0]
    products = array.rows * array.columns * array.multipliers
    if plan.single_bits is not None:
        return parts
    if plan.multiplier_kind is MultiplierKind.LUT:
        act_bits, sums = plan.input.type.bits, _lut_sums(plan)
        terms = array.multipliers * lut_terms_luts(act_bits, plan.weight_bits)
        chains = terms + sum(map(chain_luts, sums)) + _carry_save_luts(plan)
        parts["multiplied bits"] = array.pes * plan.packed * chains
    elif plan.packed > 1:
        # The narrower weight's sign is subtracted from the other weight.
        parts["packed bits"] = products * chain_luts(plan.weight_bits + 1)
    return parts


def _weight_luts(plan: ConvPlan, reloadable: bool) -> Parts:
    parts = _loading(plan) if reloadable else Counter[str]()
    if plan.weight_memory.kind is MemoryKind.DISTRIBUTED:
        luts = sum(memory.luts(written=reloadable) for memory in plan.weight_memories)
        parts["RAM" if reloadable else "ROM"] = luts
    return parts


def _loading(plan: ConvPlan) -> Counter[str]:
    return Counter({"loading": sum(memory.load_luts for memory in plan.weight_memories)})


def _window_luts(plan: ConvPlan, reloadable: bool) -> Parts:
    if plan.window_memory is MemoryKind.BLOCK:
        return {}
    return {"RAM": plan.window_memories.luts(written=True)}


def _common_flip_flops(plan: ConvPlan, reloadable: bool) -> Parts:
    array, act_bits = plan.array, plan.stored.bits
    pes = array.rows * array.columns
    group_bits = plan.group * act_bits
    products = pes * array.multipliers
    operands = products * (act_bits + plan.packed * plan.weight_bits)
    results = products * _product_bits(plan)
    if plan.single_bits is not None:
        operands, results = products, pes * count_tree(array.multipliers).registers
    parts = {
        "operand bits": operands,
        "product bits": results,
        "psum bits": pes * plan.packed * plan.acc_bits,
        "accumulator bits": plan.width * plan.acc_bits,
        "held bits": sum(plan.hold_delays) * plan.acc_bits,
    }
    if plan.feed is Feed.GATHERED:
        parts["gathered bits"] = pes * (_step_bits(plan) + group_bits)
    else:
        parts["group bits"] = array.rows * (array.columns - 1) * group_bits
        parts["row bits"] = array.rows * (_step_bits(plan) + group_bits)
        delays = plan.readers * plan.rows_per_reader * (plan.rows_per_reader - 1) // 2
        kept = plan.kept_transfers * plan.groups_per_transfer
        parts["register bits"] = (delays + kept) * group_bits
    return add_parts(_ends(plan, reloadable)[1], parts)


def _multiplier_flip_flops(plan: ConvPlan, reloadable: bool) -> Parts:
    parts = _output(plan)[1]
    if plan.multiplier_kind is MultiplierKind.DSP or plan.single_bits is not None:
        return parts
    terms = plan.array.multipliers * lut_terms(plan.weight_bits) * (plan.input.type.bits + 2)
    registers = plan.array.pes * plan.packed * (terms + sum(_lut_sums(plan)))
    return parts + Counter({"multiplied bits": registers})


def _lut_sums(plan: ConvPlan) -> list[int]:
    """Widths of the sums of terms in a PE, for one filter; the last two terms have none."""
    sums = lut_tree_sums(plan.input.type.bits, plan.weight_bits)
    return sums * (plan.array.multipliers - 1) + sums[:-1]


def _carry_save_luts(plan: ConvPlan) -> int:
    """LUTs that make two terms and a partial sum ready for one carry chain."""
    if plan.array.multipliers > 1:
        return 2 * plan.acc_bits
    return 2 * plan.input.type.bits if lut_terms(plan.weight_bits) > 1 else 0


def _weight_flip_flops(plan: ConvPlan, reloadable: bool) -> Parts:
    """Registers of addresses and of weight words; a block RAM contains two of three."""
    memory, size = plan.weight_memory, (plan.array.rows, plan.array.columns)
    reads = 1 if memory.kind is MemoryKind.BLOCK else 3
    words = plan.array.pes * reads + memory.delays(*size)
    parts = _loading(plan) if reloadable else Counter[str]()
    parts["word bits"] = words * plan.weight_word_bits
    parts["word address bits"] = memory.addresses(*size) * (plan.steps - 1).bit_length()
    return parts


def _no_parts(plan: ConvPlan, reloadable: bool) -> Parts:
    return {}


_Counts = Callable[[ConvPlan, bool], Parts]
PartsOf = tuple[_Counts, _Counts]
"""Functions that count the parts of an engine in LUTs and in flip-flops; reloadable or not."""
COMMON: PartsOf = (_common_luts, _common_flip_flops)
BY_PART: Mapping[EnginePart, PartsOf] = {
    EnginePart.MULTIPLIERS: (_multiplier_luts, _multiplier_flip_flops),
    EnginePart.WEIGHTS: (_weight_luts, _weight_flip_flops),
    EnginePart.WINDOW: (_window_luts, _no_parts),
}


def _ends(plan: ConvPlan, reloadable: bool) -> LutsAndFlipFlops:
    """Count what stands around the array: registers of a transfer, window and requantizers."""
    requantizers = requantizer_parts(
        plan.requantizer, plan.lanes_out, plan.transfers_per_pixel, reloadable
    )
    transfer = plan.lanes_in * plan.stored.bits
    array = Counter({"array": 1}), Counter({"array": 1, "register bits": transfer})
    return join_parts(window_parts(plan), requantizers, array)


def _output(plan: ConvPlan) -> LutsAndFlipFlops:
    return buffer_parts(plan.fifo_depth, plan.lanes_out * plan.output.type.bits)


def _counting_luts(bits: int) -> int:
    """LUTs that compare and count the bits of a PE: two for each adder of three bits."""
    tree = count_tree(bits)
    return bits + 2 * tree.adders + tree.width * tree.adds_rows


def _product_bits(plan: ConvPlan) -> int:
    """Width of a multiplier's product."""
    return plan.packed * plan.weight_bits + plan.input.type.bits * plan.packed


def _address_bits(plan: ConvPlan) -> int:
    return (plan.buffer_depth - 1).bit_length()


def _step_bits(plan: ConvPlan) -> int:
    """Width of a step as a row receives it."""
    kernel = sum(plan.window.kernel)
    counters = (plan.folds, plan.steps, plan.passes)
    return _address_bits(plan) + kernel + sum((count - 1).bit_length() for count in counters)


def _taps(plan: ConvPlan) -> Memories:
    """Tables of taps; one for each reader."""
    height, width = plan.window.kernel
    bits = _address_bits(plan) + (height - 1).bit_length() + (width - 1).bit_length()
    return Memories(count=plan.readers, depth=plan.folds, width=bits)
