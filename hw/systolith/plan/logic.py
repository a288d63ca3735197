"""LUTs and flip-flops of each stage: what it is made of, times what such a thing takes.

The parts are counted from the plan; what each takes is fitted to synthesized designs, see
``benchmarks/physical/calibrate.py``, which writes the table beside this module.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from math import ceil
from typing import NamedTuple

from systolith.plan.add_plan import AddPlan
from systolith.plan.conv_plan import ConvPlan, MultiplierKind
from systolith.plan.fork_plan import ForkPlan
from systolith.plan.gather_plan import GatherPlan
from systolith.plan.gearbox_plan import GearboxPlan
from systolith.plan.latency import PREFETCHED
from systolith.plan.memory import Memory, MemoryKind
from systolith.plan.pool_plan import PoolPlan
from systolith.plan.stages import StagePlan, WindowedEngine

__all__ = [
    "FITTED",
    "Choice",
    "Logic",
    "LogicShare",
    "chosen_logic",
    "common_logic",
    "flip_flop_parts",
    "logic_of",
    "lut_parts",
    "summed",
    "weighed",
]

FITTED = "logic.json"
"""What one of each part takes, in the folder of this module."""

Parts = Mapping[str, int]
"""How many there are of each part, by name."""

BIAS_BITS, SHIFT_BITS = 1, 5
"""By which a bias is wider than an accumulator; of a shift."""
TREE_BITS = 2
"""By which the sums of a tree of adders are wider than their terms, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logic:
    """What a stage takes of LUTs, with four inputs, and of flip-flops: estimates."""

    luts: int
    flip_flops: int


class Choice(Enum):
    """What an engine's parts can be made of, each chosen for itself."""

    MULTIPLIERS = "multiplier_kind"
    WEIGHTS = "weight_memory"
    WINDOW = "window_memory"


class LogicShare(NamedTuple):
    """What some parts take, before rounding."""

    luts: float
    flip_flops: float


def logic_of(stage: StagePlan, *, reloadable: bool = False) -> Logic:
    """Estimate what a stage takes.

    Parameters
    ----------
    stage : StagePlan
    reloadable : bool
        Whether parameters can be written, so that LUTs that hold them must be RAM.
    """
    if isinstance(stage, ConvPlan):
        shares = [common_logic(stage, reloadable=reloadable)]
        shares += [chosen_logic(stage, choice, reloadable=reloadable) for choice in Choice]
        return summed(shares)
    luts, flip_flops = _fitted()
    return summed(
        [
            LogicShare(
                weighed(lut_parts(stage, reloadable=reloadable), luts),
                weighed(flip_flop_parts(stage, reloadable=reloadable), flip_flops),
            )
        ]
    )


def common_logic(plan: ConvPlan, *, reloadable: bool = False) -> LogicShare:
    """Estimate what takes as much whatever multipliers and memories are made of."""
    return _share(_COMMON, plan, reloadable)


def chosen_logic(plan: ConvPlan, choice: Choice, *, reloadable: bool = False) -> LogicShare:
    """Estimate what depends on one of the choices, and on no other."""
    return _share(_CHOSEN[choice], plan, reloadable)


def summed(shares: Sequence[LogicShare]) -> Logic:
    """Add up the shares of an engine: the common one, then those of its choices in their order."""
    return Logic(
        luts=round(sum(share.luts for share in shares)),
        flip_flops=round(sum(share.flip_flops for share in shares)),
    )


def _share(parts: "_Both", plan: ConvPlan, reloadable: bool) -> LogicShare:
    luts, flip_flops = _fitted()
    of_luts, of_flip_flops = parts
    return LogicShare(
        weighed(of_luts(plan, reloadable), luts),
        weighed(of_flip_flops(plan, reloadable), flip_flops),
    )


@cache
def _fitted() -> tuple[Mapping[str, float], Mapping[str, float]]:
    found = json.loads((files("systolith.plan") / FITTED).read_text())
    return found["luts"], found["flip_flops"]


def weighed(parts: Parts, each: Mapping[str, float]) -> float:
    """Add up the parts, each times what one takes."""
    return sum(number * each[part] for part, number in parts.items())


def lut_parts(stage: StagePlan, *, reloadable: bool = False) -> Parts:
    """Count the parts that are made of LUTs, mostly in bits."""
    match stage:
        case ConvPlan():
            return _together(*(part(stage, reloadable) for part, _ in (_COMMON, *_CHOSEN.values())))
        case PoolPlan():
            return _sequence(stage) + _pool_luts(stage, reloadable)
        case AddPlan():
            bits = stage.lanes * stage.sum_bits
            return Counter({"add": 1, "add bits": bits}) + _ends(stage, reloadable)
        case ForkPlan():
            return Counter({"queue": len(stage.depths)}) + _queues(stage)
        case GearboxPlan():
            return Counter({"gearbox": 1, "gearbox bits": _gearbox_bits(stage)})


def flip_flop_parts(stage: StagePlan, *, reloadable: bool = False) -> Parts:
    """Count the parts that are made of flip-flops, mostly in bits."""
    match stage:
        case ConvPlan():
            return _together(*(part(stage, reloadable) for _, part in (_COMMON, *_CHOSEN.values())))
        case PoolPlan():
            bits = stage.lanes * stage.input.type.bits
            parts = _sequence(stage) + Counter({"pool bits": bits})
            return parts + (_end_flip_flops(stage) if stage.average else Counter())
        case AddPlan():
            bits = stage.lanes * stage.sum_bits
            return Counter({"add": 1, "add bits": bits}) + _end_flip_flops(stage)
        case ForkPlan():
            return Counter({"queue": len(stage.depths), "deep queue": sum(stage.deep)})
        case GearboxPlan():
            return Counter({"gearbox": 1, "gearbox bits": _gearbox_bits(stage)})


def _sequence(plan: WindowedEngine) -> Counter[str]:
    """Of what writes the window and issues steps."""
    return Counter({"engine": 1, "position bits": plan.position_bits + _address_bits(plan)})


def _common_luts(plan: ConvPlan, reloadable: bool) -> Parts:
    array, act_bits = plan.array, plan.input.type.bits
    pes = array.rows * array.columns
    products = pes * array.multipliers * plan.packed
    selected = pes * array.multipliers * act_bits * _select(plan.group if plan.index_bits else 1)
    parts = Counter(
        {
            "selected bits": selected,
            "tree bits": (products - pes * plan.packed) * _product_bits(plan),
            "psum bits": pes * plan.packed * plan.acc_bits,
            "accumulator bits": plan.width * plan.acc_bits,
            "drained bits": plan.acc_bits * plan.lanes_out * _select(plan.drain_cycles),
        }
    )
    if reloadable:
        parts["loading"] = plan.weight_memories.load_luts
    if isinstance(plan, GatherPlan):
        parts["gathered bits"] = pes * (_step_bits(plan) + plan.window.taps)
    else:
        parts["row bits"] = array.rows * (2 * _address_bits(plan) + plan.group * act_bits)
        taps = _taps(plan)
        parts["RAM" if reloadable and plan.skips_taps else "ROM"] += taps.luts(
            written=reloadable and plan.skips_taps
        )
    return _together(_sequence(plan), parts, _end_luts(plan, reloadable))


def _multiplier_luts(plan: ConvPlan, reloadable: bool) -> Parts:
    """What results wait in is as deep as multiplications take long."""
    array = plan.array
    parts = {"RAM": _output_buffer(plan)}
    products = array.rows * array.columns * array.multipliers
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
    array, act_bits = plan.array, plan.input.type.bits
    pes = array.rows * array.columns
    group_bits = plan.group * act_bits
    products = pes * array.multipliers
    parts = {
        "operand bits": products * (act_bits + plan.packed * plan.weight_bits),
        "product bits": products * _product_bits(plan),
        "psum bits": pes * plan.packed * plan.acc_bits,
        "accumulator bits": plan.width * plan.acc_bits,
        "held bits": sum(plan.hold_delays) * plan.acc_bits,
        "word address bits": pes * (plan.steps - 1).bit_length(),
    }
    if isinstance(plan, GatherPlan):
        parts["gathered bits"] = pes * (_step_bits(plan) + group_bits)
    else:
        parts["group bits"] = array.rows * (array.columns - 1) * group_bits
        parts["row bits"] = array.rows * (_step_bits(plan) + group_bits)
    if reloadable:
        parts["loading"] = plan.weight_memories.load_luts
    return _together(_sequence(plan), parts, _end_flip_flops(plan))


def _multiplier_flip_flops(plan: ConvPlan, reloadable: bool) -> Parts:
    if plan.multiplier_kind is MultiplierKind.DSP:
        return {}
    array, width = plan.array, plan.weight_bits * (plan.input.type.bits + TREE_BITS)
    return {"multiplied bits": array.total * plan.packed * width}


def _weight_flip_flops(plan: ConvPlan, reloadable: bool) -> Parts:
    """Two registers of a memory are within a block of it."""
    reads = 1 if plan.weight_memory is MemoryKind.BLOCK else 3
    array = plan.array
    return {"word bits": array.rows * array.columns * plan.weight_memories.width * reads}


def _no_parts(plan: ConvPlan, reloadable: bool) -> Parts:
    return {}


_PartsOf = Callable[[ConvPlan, bool], Parts]
_Both = tuple[_PartsOf, _PartsOf]
"""LUTs and flip-flops."""
_COMMON: _Both = (_common_luts, _common_flip_flops)
_CHOSEN: Mapping[Choice, _Both] = {
    Choice.MULTIPLIERS: (_multiplier_luts, _multiplier_flip_flops),
    Choice.WEIGHTS: (_weight_luts, _weight_flip_flops),
    Choice.WINDOW: (_window_luts, _no_parts),
}


def _together(*several: Parts) -> Counter[str]:
    """Add up the same parts."""
    found = Counter[str]()
    for parts in several:
        for part, number in parts.items():
            found[part] += number
    return found


def _ends(plan: AddPlan | PoolPlan, reloadable: bool) -> Counter[str]:
    """Of requantizers with their parameters, and the output buffer."""
    return _end_luts(plan, reloadable) + Counter({"RAM": _output_buffer(plan)})


def _end_luts(plan: ConvPlan | AddPlan | PoolPlan, reloadable: bool) -> Counter[str]:
    """Of requantizers with their parameters."""
    lanes, scaled = plan.lanes_out, _scaled_bits(plan)
    word = scaled + BIAS_BITS + SHIFT_BITS
    depth = 1 if isinstance(plan, AddPlan) else plan.transfers_per_pixel
    parameters = Memory(count=lanes, depth=depth, width=word)
    parts = Counter({"scaled bits": lanes * scaled, "output": 1})
    parts["RAM" if reloadable else "ROM"] += parameters.luts(written=reloadable)
    if reloadable:
        parts["loading"] = parameters.load_luts
    return parts


def _end_flip_flops(plan: ConvPlan | AddPlan | PoolPlan) -> Counter[str]:
    return Counter({"output": 1, "scaled bits": plan.lanes_out * _scaled_bits(plan)})


def _pool_luts(plan: PoolPlan, reloadable: bool) -> Counter[str]:
    parts = Counter({"pool bits": plan.lanes * plan.input.type.bits})
    if plan.window_memory is MemoryKind.DISTRIBUTED:
        parts["RAM"] += plan.window_memories.luts(written=True)
    if plan.average:
        return parts + _ends(plan, reloadable)
    parts["RAM"] += _output_buffer(plan)
    parts["output"] = 1
    return parts


def _queues(plan: ForkPlan) -> Counter[str]:
    parts = Counter[str]()
    width = plan.lanes * plan.tensor.type.bits
    for depth, deep in zip(plan.depths, plan.deep, strict=True):
        parts["deep queue"] += deep
        held = Memory(count=1, depth=PREFETCHED if deep else depth, width=width)
        parts["RAM"] += held.luts(written=True)
    return parts


def _output_buffer(plan: ConvPlan | AddPlan | PoolPlan) -> int:
    width = plan.lanes_out * plan.output.type.bits
    return Memory(count=1, depth=plan.fifo_depth, width=width).luts(written=True)


def _scaled_bits(plan: ConvPlan | AddPlan | PoolPlan) -> int:
    """Width of what a requantizer shifts."""
    match plan:
        case ConvPlan():
            return plan.biased_bits + plan.scale_bits
        case PoolPlan() | AddPlan():
            return plan.sum_bits + plan.scale_bits


def _product_bits(plan: ConvPlan) -> int:
    """Width of a multiplier's product."""
    return plan.packed * plan.weight_bits + plan.input.type.bits * plan.packed


def _address_bits(plan: WindowedEngine) -> int:
    return (plan.buffer_depth - 1).bit_length()


def _step_bits(plan: ConvPlan) -> int:
    """Width of what a row is told of a step."""
    kernel = sum(plan.window.kernel)
    counters = (plan.folds, plan.steps, plan.passes)
    return _address_bits(plan) + kernel + sum((count - 1).bit_length() for count in counters)


def _taps(plan: ConvPlan) -> Memory:
    """Tables of taps, one for each row."""
    height, width = plan.window.kernel
    bits = _address_bits(plan) + (height - 1).bit_length() + (width - 1).bit_length()
    return Memory(count=plan.array.rows, depth=plan.folds, width=bits)


def _gearbox_bits(plan: GearboxPlan) -> int:
    return max(plan.lanes_in, plan.lanes_out) * plan.tensor.type.bits


def _select(parts: int) -> int:
    """LUTs for each bit of a choice among so many."""
    return ceil(parts / 2) + parts // 8 if parts > 1 else 0
