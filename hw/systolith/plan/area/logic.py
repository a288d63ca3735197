"""LUTs and flip-flops of each stage: the number of each part times the cost of one.

The parts are counted from the plan. ``benchmarks/physical/calibrate.py`` fits the costs to
synthesized designs and writes them to ``logic.json`` beside this module.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from systolith.plan.area.engine_parts import (
    BY_PART,
    COMMON,
    EnginePart,
    Parts,
    PartsOf,
    add_parts,
    output_buffer_luts,
    requantizer_flip_flops,
    requantizer_luts,
    select_luts,
    sequencer_parts,
)
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.arg_max_plan import ArgMaxPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.table_plan import TablePlan
from systolith.plan.moving.block_plan import BlockPlan
from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.moving.select_plan import SelectPlan
from systolith.plan.sizes.latency import PREFETCHED, WEIGH_LATENCY
from systolith.plan.sizes.memory import Memories, MemoryKind
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.stage_graph import StagePlan

__all__ = [
    "FITTED",
    "Logic",
    "LogicShare",
    "common_logic",
    "flip_flop_parts",
    "logic_of",
    "lut_parts",
    "part_logic",
    "sum_shares",
    "weigh",
]

FITTED = "logic.json"
"""Costs of one of each part, beside this module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logic:
    """Estimated LUTs, of four inputs each, and flip-flops of a stage."""

    luts: int
    flip_flops: int


class LogicShare(NamedTuple):
    """LUTs and flip-flops of some parts, not rounded."""

    luts: float
    flip_flops: float


def logic_of(stage: StagePlan, *, reloadable: bool = False) -> Logic:
    """Estimate the LUTs and flip-flops of a stage.

    Parameters
    ----------
    stage : StagePlan
    reloadable : bool
        Whether parameters can be written; LUTs that hold them must then be RAM.
    """
    if isinstance(stage, ConvPlan):
        shares = [common_logic(stage, reloadable=reloadable)]
        shares += [part_logic(stage, part, reloadable=reloadable) for part in EnginePart]
        return sum_shares(shares)
    luts, flip_flops = _read_costs()
    return sum_shares(
        [
            LogicShare(
                weigh(lut_parts(stage, reloadable=reloadable), luts),
                weigh(flip_flop_parts(stage, reloadable=reloadable), flip_flops),
            )
        ]
    )


def common_logic(plan: ConvPlan, *, reloadable: bool = False) -> LogicShare:
    """Estimate the parts that do not depend on the kinds of multipliers and memories."""
    return _share(COMMON, plan, reloadable)


def part_logic(plan: ConvPlan, part: EnginePart, *, reloadable: bool = False) -> LogicShare:
    """Estimate the parts that depend on the kind of one engine part only."""
    return _share(BY_PART[part], plan, reloadable)


def sum_shares(shares: Sequence[LogicShare]) -> Logic:
    """Add up shares in the given order, then round."""
    luts = flip_flops = 0.0
    for share in shares:
        luts += share.luts
        flip_flops += share.flip_flops
    return Logic(luts=round(luts), flip_flops=round(flip_flops))


def _share(parts: PartsOf, plan: ConvPlan, reloadable: bool) -> LogicShare:
    luts, flip_flops = _read_costs()
    of_luts, of_flip_flops = parts
    return LogicShare(
        weigh(of_luts(plan, reloadable), luts),
        weigh(of_flip_flops(plan, reloadable), flip_flops),
    )


@cache
def _read_costs() -> tuple[Mapping[str, float], Mapping[str, float]]:
    costs = json.loads((files("systolith.plan.area") / FITTED).read_text())
    return costs["luts"], costs["flip_flops"]


def weigh(parts: Parts, costs: Mapping[str, float]) -> float:
    """Add up the parts, each number times the cost of one."""
    return sum(number * costs[part] for part, number in parts.items())


def lut_parts(stage: StagePlan, *, reloadable: bool = False) -> Parts:
    """Count the parts in LUTs; most counts are bits."""
    match stage:
        case ConvPlan():
            return add_parts(*(part(stage, reloadable) for part, _ in (COMMON, *BY_PART.values())))
        case PoolPlan():
            return sequencer_parts(stage) + _pool_luts(stage, reloadable)
        case AddPlan():
            bits = stage.lanes * stage.sum_bits
            return Counter({"add": 1, "add bits": bits}) + _ends(stage, reloadable)
        case MultiplyPlan():
            return _ends(stage, reloadable)
        case TablePlan():
            return _table_luts(stage, reloadable)
        case ArgMaxPlan():
            return _arg_max_luts(stage)
        case ConcatPlan():
            width = stage.lanes * stage.output.type.bits
            memory = Memories(count=1, depth=stage.depth, width=width)
            chosen = width * select_luts(len(stage.inputs))
            return Counter({"queue": 1, "selected bits": chosen, "RAM": memory.luts(written=True)})
        case SelectPlan():
            return _double_buffer_luts(_selection_bits(stage), _selected_luts(stage))
        case BlockPlan():
            parts = Counter({"output": 1, "RAM": output_buffer_luts(stage)})
            if stage.window_memory is MemoryKind.DISTRIBUTED:
                parts["RAM"] += stage.window_memories.luts(written=True)
            return sequencer_parts(stage) + parts
        case ForkPlan():
            return Counter({"queue": len(stage.depths)}) + _queues(stage)
        case GearboxPlan():
            return _double_buffer_luts(_gearbox_bits(stage))


def flip_flop_parts(stage: StagePlan, *, reloadable: bool = False) -> Parts:
    """Count the parts in flip-flops; most counts are bits."""
    match stage:
        case ConvPlan():
            return add_parts(*(part(stage, reloadable) for _, part in (COMMON, *BY_PART.values())))
        case PoolPlan():
            bits = stage.lanes * stage.input.type.bits
            parts = sequencer_parts(stage) + Counter({"pool bits": bits})
            if stage.weighs:
                parts["accumulator bits"] = WEIGH_LATENCY * stage.lanes * stage.sum_bits
            return parts + (requantizer_flip_flops(stage) if stage.average else Counter())
        case AddPlan():
            bits = stage.lanes * stage.sum_bits
            return Counter({"add": 1, "add bits": bits}) + requantizer_flip_flops(stage)
        case MultiplyPlan():
            return requantizer_flip_flops(stage)
        case TablePlan():
            return Counter({"output": 1, "word bits": _table_register_bits(stage)})
        case ArgMaxPlan():
            return Counter({"gearbox": 1, "held bits": _arg_max_register_bits(stage)})
        case ConcatPlan():
            return Counter({"queue": 1})
        case SelectPlan():
            return Counter({"gearbox": 1, "gearbox bits": 2 * _selection_bits(stage)})
        case BlockPlan():
            return sequencer_parts(stage) + Counter({"output": 1})
        case ForkPlan():
            return Counter({"queue": len(stage.depths), "deep queue": sum(stage.deep)})
        case GearboxPlan():
            return Counter({"gearbox": 1, "gearbox bits": 2 * _gearbox_bits(stage)})


def _ends(plan: AddPlan | MultiplyPlan | PoolPlan, reloadable: bool) -> Counter[str]:
    """LUT parts of requantizers, their parameters and the output buffer."""
    return requantizer_luts(plan, reloadable) + Counter({"RAM": output_buffer_luts(plan)})


def _pool_luts(plan: PoolPlan, reloadable: bool) -> Counter[str]:
    parts = Counter({"pool bits": plan.lanes * plan.input.type.bits})
    if plan.window_memory is MemoryKind.DISTRIBUTED:
        parts["RAM"] += plan.window_memories.luts(written=True)
    if plan.weighs:
        # One adder for each digit of a factor but the first, and one multiplexer for each axis.
        adders = sum(
            sum(factor.bit_count() for factor in {*factors}) - 1
            for factors in (plan.row_factors, plan.column_factors)
        )
        parts["tree bits"] = plan.lanes * plan.sum_bits * adders
    if plan.average:
        return parts + _ends(plan, reloadable)
    parts["RAM"] += output_buffer_luts(plan)
    parts["output"] = 1
    return parts


def _table_luts(plan: TablePlan, reloadable: bool) -> Parts:
    parts = Counter({"output": 1, "RAM": output_buffer_luts(plan)})
    if plan.table_memory is MemoryKind.DISTRIBUTED:
        parts["RAM" if reloadable else "ROM"] += plan.table_memories.luts(written=reloadable)
    if reloadable:
        parts["loading"] = plan.table_memories.load_luts
    return parts


def _table_register_bits(plan: TablePlan) -> int:
    """Count the registers of addresses, and of values that block RAM does not contain."""
    reads = 0 if plan.table_memory is MemoryKind.BLOCK else 2
    return plan.lanes * (plan.input.type.bits + reads * plan.output.type.bits)


def _arg_max_luts(plan: ArgMaxPlan) -> Parts:
    """Count comparisons, of two LUTs per bit, and choices of a value and its number."""
    bits = plan.input.type.bits
    parts = Counter(
        {
            "RAM": output_buffer_luts(plan),
            "tree bits": 2 * (plan.lanes * bits + 2 * plan.output.type.bits),
            "selected bits": (plan.lanes - 1) * (bits + plan.lane_bits),
        }
    )
    # One transfer per pixel needs no counters, and no greatest value so far.
    parts["output"] = plan.transfers_in > 1
    return parts


def _arg_max_register_bits(plan: ArgMaxPlan) -> int:
    """Count the registers of the input, of each level, and of the greatest value so far."""
    bits, number = plan.input.type.bits, plan.output.type.bits
    registers, left = plan.lanes * bits, plan.lanes
    for level in range(plan.levels):
        left = (left + 1) // 2
        registers += left * (bits + level + 1)
    return registers + bits + 2 * number + 3 * plan.latency


def _queues(plan: ForkPlan) -> Counter[str]:
    parts = Counter[str]()
    width = plan.lanes * plan.output.type.bits
    for depth, deep in zip(plan.depths, plan.deep, strict=True):
        parts["deep queue"] += deep
        memory = Memories(count=1, depth=PREFETCHED if deep else depth, width=width)
        parts["RAM"] += memory.luts(written=True)
    return parts


def _selected_luts(plan: SelectPlan) -> int:
    """LUTs of the multiplexers in front of the output lanes."""
    lanes = zip(*plan.sources, strict=True)
    return plan.input.type.bits * sum(select_luts(len({*places})) for places in lanes)


def _double_buffer_luts(bits: int, chosen: int = 0) -> Counter[str]:
    """LUT parts of two registers of `bits` bits; what fills the second is chosen by one LUT a bit.

    Parameters
    ----------
    bits : int
    chosen : int
        LUTs of multiplexers behind them.
    """
    return Counter({"gearbox": 1, "gearbox bits": bits, "selected bits": bits + chosen})


def _gearbox_bits(plan: GearboxPlan) -> int:
    return max(plan.lanes_in, plan.lanes_out) * plan.tensor.type.bits


def _selection_bits(plan: SelectPlan) -> int:
    return plan.block * plan.input.type.bits
