"""LUTs and flip-flops of each stage: the number of each part times the cost of one.

The parts are counted from the plan. ``benchmarks/physical/calibrate.py`` fits the costs to
synthesized designs and writes them to ``logic.json`` beside this module.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from systolith.plan.area.engine_parts import BY_PART, COMMON, EnginePart, PartsOf
from systolith.plan.area.lane_parts import (
    addition_parts,
    arg_max_parts,
    block_parts,
    multiply_parts,
    pool_parts,
    table_parts,
)
from systolith.plan.area.parts import LutsAndFlipFlops, Parts, add_parts
from systolith.plan.area.stream_parts import (
    concat_parts,
    fork_parts,
    gearbox_parts,
    select_parts,
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

ArraylessStage = (
    PoolPlan
    | AddPlan
    | MultiplyPlan
    | TablePlan
    | BlockPlan
    | ArgMaxPlan
    | ConcatPlan
    | SelectPlan
    | ForkPlan
    | GearboxPlan
)
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
    if isinstance(stage, ConvPlan):
        return add_parts(*(part(stage, reloadable) for part, _ in (COMMON, *BY_PART.values())))
    return _parts_of(stage, reloadable)[0]


def flip_flop_parts(stage: StagePlan, *, reloadable: bool = False) -> Parts:
    """Count the parts in flip-flops; most counts are bits."""
    if isinstance(stage, ConvPlan):
        return add_parts(*(part(stage, reloadable) for _, part in (COMMON, *BY_PART.values())))
    return _parts_of(stage, reloadable)[1]


def _parts_of(stage: ArraylessStage, reloadable: bool) -> LutsAndFlipFlops:
    match stage:
        case PoolPlan():
            return pool_parts(stage, reloadable)
        case AddPlan():
            return addition_parts(stage, reloadable)
        case MultiplyPlan():
            return multiply_parts(stage, reloadable)
        case TablePlan():
            return table_parts(stage, reloadable)
        case BlockPlan():
            return block_parts(stage)
        case ArgMaxPlan():
            return arg_max_parts(stage)
        case ConcatPlan():
            return concat_parts(stage)
        case SelectPlan():
            return select_parts(stage)
        case ForkPlan():
            return fork_parts(stage)
        case GearboxPlan():
            return gearbox_parts(stage)
