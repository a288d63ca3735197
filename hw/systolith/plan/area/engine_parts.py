"""Parts of engines with a PE array that take LUTs and flip-flops.

Multipliers, weight memories and the window buffer can each be of several kinds. Their parts are
counted separately, so that engines that differ only in these kinds share all other counts.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from math import ceil

from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.arg_max_plan import ArgMaxPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.table_plan import TablePlan
from systolith.plan.moving.block_plan import BlockPlan
from systolith.plan.sizes.array_shape import Feed, MultiplierKind
from systolith.plan.sizes.latency import THRESHOLD_LATENCY
from systolith.plan.sizes.memory import Memories, MemoryKind
from systolith.plan.sizes.popcount import count_tree
from systolith.plan.sizes.threshold_search import ThresholdSearch
from systolith.plan.streams.stage_graph import WindowedEngine

__all__ = [
    "BY_PART",
    "COMMON",
    "EnginePart",
    "Parts",
    "PartsOf",
    "add_parts",
    "output_buffer_luts",
    "requantizer_flip_flops",
    "requantizer_luts",
    "search_of",
    "select_luts",
    "sequencer_parts",
]

RequantizedEngine = ConvPlan | AddPlan | MultiplyPlan | PoolPlan
Parts = Mapping[str, int]
"""Number of each part, by name."""

BIAS_BITS, SHIFT_BITS = 1, 5
"""Extra bits of a bias over an accumulator, and bits of a shift."""
TREE_BITS = 2
"""Average number of extra bits of the sums of an adder tree over their terms."""


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
    if reloadable:
        parts["loading"] = plan.weight_memories.load_luts
    if plan.feed is Feed.GATHERED:
        parts["gathered bits"] = pes * (_step_bits(plan) + plan.window.taps)
    else:
        parts["row bits"] = array.rows * (2 * _address_bits(plan) + plan.group * act_bits)
        taps = _taps(plan)
        parts["RAM" if reloadable and plan.skips_taps else "ROM"] += taps.luts(
            written=reloadable and plan.skips_taps
        )
    return add_parts(sequencer_parts(plan), parts, requantizer_luts(plan, reloadable))


def _multiplier_luts(plan: ConvPlan, reloadable: bool) -> Parts:
    """Multipliers, and the output buffer, whose depth follows from their latency."""
    array = plan.array
    parts = {"RAM": output_buffer_luts(plan)}
    products = array.rows * array.columns * array.multipliers
    if plan.single_bits is not None:
        return parts
    if plan.multiplier_kind is MultiplierKind.LUT:
        act_bits = plan.input.type.bits
        parts["multiplied bits"] = (
            products * plan.packed * plan.weight_bits * (act_bits + TREE_BITS)
        )
    elif plan.packed > 1:
        parts["packed bits"] = products * _product_bits(plan)
    return parts


def _weight_luts(plan: ConvPlan, reloadable: bool) -> Parts:
    if plan.weight_memory is MemoryKind.BLOCK:
        return {}
    return {"RAM" if reloadable else "ROM": plan.weight_memories.luts(written=reloadable)}


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
        "word address bits": pes * (plan.steps - 1).bit_length(),
    }
    if plan.feed is Feed.GATHERED:
        parts["gathered bits"] = pes * (_step_bits(plan) + group_bits)
    else:
        parts["group bits"] = array.rows * (array.columns - 1) * group_bits
        parts["row bits"] = array.rows * (_step_bits(plan) + group_bits)
    if reloadable:
        parts["loading"] = plan.weight_memories.load_luts
    return add_parts(sequencer_parts(plan), parts, requantizer_flip_flops(plan))


def _multiplier_flip_flops(plan: ConvPlan, reloadable: bool) -> Parts:
    if plan.multiplier_kind is MultiplierKind.DSP or plan.single_bits is not None:
        return {}
    array, width = plan.array, plan.weight_bits * (plan.input.type.bits + TREE_BITS)
    return {"multiplied bits": array.total * plan.packed * width}


def _weight_flip_flops(plan: ConvPlan, reloadable: bool) -> Parts:
    """Registers of weight words; a block RAM contains two of three."""
    reads = 1 if plan.weight_memory is MemoryKind.BLOCK else 3
    array = plan.array
    return {"word bits": array.rows * array.columns * plan.weight_memories.width * reads}


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


def add_parts(*several: Parts) -> Counter[str]:
    """Add up the numbers of equal parts."""
    total = Counter[str]()
    for parts in several:
        for part, number in parts.items():
            total[part] += number
    return total


def sequencer_parts(plan: WindowedEngine) -> Counter[str]:
    """Parts of the window's writer and of the sequencer."""
    return Counter({"engine": 1, "position bits": plan.position_bits + _address_bits(plan)})


def requantizer_luts(plan: RequantizedEngine, reloadable: bool) -> Counter[str]:
    """LUT parts of requantizers and their parameters.

    All roundings count alike: they differ by less than the mapping to LUTs varies.
    """
    if plan.threshold_bits:
        return _threshold_luts(plan, reloadable)
    lanes, scaled = plan.lanes_out, _scaled_bits(plan)
    # A word holds a multiplier, a shift, and a bias as wide as a sum or an offset as wide as a
    # product.
    slope = plan.scale_bits if plan.has_slopes else 0
    word = scaled + (plan.offset_bits or BIAS_BITS) + SHIFT_BITS + slope
    depth = 1 if isinstance(plan, AddPlan | MultiplyPlan) else plan.transfers_per_pixel
    parameters = Memories(count=lanes, depth=depth, width=word)
    parts = Counter({"scaled bits": lanes * scaled, "output": 1})
    if slope:
        parts["selected bits"] = lanes * slope
    parts["RAM" if reloadable else "ROM"] += parameters.luts(written=reloadable)
    if reloadable:
        parts["loading"] = parameters.load_luts
    return parts


def requantizer_flip_flops(plan: RequantizedEngine) -> Counter[str]:
    """Flip-flop parts of requantizers and of the output."""
    if plan.threshold_bits:
        return _threshold_flip_flops(plan)
    parts = Counter({"output": 1, "scaled bits": plan.lanes_out * _scaled_bits(plan)})
    if plan.has_slopes:
        parts["word bits"] = plan.lanes_out * plan.scale_bits
    return parts


def search_of(plan: RequantizedEngine) -> ThresholdSearch:
    """Describe the search for thresholds of an engine that counts them."""
    return ThresholdSearch(
        bits=plan.threshold_bits,
        lanes=plan.lanes_out,
        transfers=plan.transfers_per_pixel,
        sum_bits=plan.acc_bits if isinstance(plan, ConvPlan) else plan.sum_bits,
    )


def _threshold_luts(plan: RequantizedEngine, reloadable: bool) -> Counter[str]:
    """LUT parts of comparisons and of thresholds in LUTs."""
    search = search_of(plan)
    parts = Counter({"output": 1, "tree bits": search.lanes * search.bits * search.width})
    for memory, kind in search.memories:
        if kind is MemoryKind.DISTRIBUTED:
            parts["RAM" if reloadable else "ROM"] += memory.luts(written=reloadable)
        if reloadable:
            parts["loading"] += memory.load_luts
    return parts


def _threshold_flip_flops(plan: RequantizedEngine) -> Counter[str]:
    """Flip-flop parts of sums on their way along the stages, and of thresholds that they meet."""
    search = search_of(plan)
    sums = search.lanes * search.sum_bits * (THRESHOLD_LATENCY * (search.bits - 1) + 1)
    words = sum(
        2 * memory.count * memory.width
        for memory, kind in search.memories
        if kind is MemoryKind.DISTRIBUTED
    )
    return Counter({"output": 1, "held bits": sums + words})


def output_buffer_luts(plan: RequantizedEngine | TablePlan | ArgMaxPlan | BlockPlan) -> int:
    """LUTs of the output buffer."""
    width = plan.lanes_out * plan.output.type.bits
    return Memories(count=1, depth=plan.fifo_depth, width=width).luts(written=True)


def _scaled_bits(plan: RequantizedEngine) -> int:
    """Width of the value that a requantizer shifts."""
    match plan:
        case ConvPlan():
            bits = plan.biased_bits + plan.scale_bits
        case PoolPlan() | AddPlan() | MultiplyPlan():
            bits = plan.sum_bits + plan.scale_bits
    return max(bits, plan.offset_bits) + 1 if plan.offset_bits else bits


def _counting_luts(bits: int) -> int:
    """LUTs that compare and count the bits of a PE: two for each adder of three bits."""
    tree = count_tree(bits)
    return bits + 2 * tree.adders + tree.width * tree.adds_rows


def _product_bits(plan: ConvPlan) -> int:
    """Width of a multiplier's product."""
    return plan.packed * plan.weight_bits + plan.input.type.bits * plan.packed


def _address_bits(plan: WindowedEngine) -> int:
    return (plan.buffer_depth - 1).bit_length()


def _step_bits(plan: ConvPlan) -> int:
    """Width of a step as a row receives it."""
    kernel = sum(plan.window.kernel)
    counters = (plan.folds, plan.steps, plan.passes)
    return _address_bits(plan) + kernel + sum((count - 1).bit_length() for count in counters)


def _taps(plan: ConvPlan) -> Memories:
    """Tables of taps; one for each row."""
    height, width = plan.window.kernel
    bits = _address_bits(plan) + (height - 1).bit_length() + (width - 1).bit_length()
    return Memories(count=plan.array.rows, depth=plan.folds, width=bits)


def select_luts(parts: int) -> int:
    """LUTs for each bit of a multiplexer with `parts` inputs."""
    return ceil(parts / 2) + parts // 8 if parts > 1 else 0
