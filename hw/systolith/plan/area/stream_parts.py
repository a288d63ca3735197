"""Parts of stages that pass streams on: queues, gearboxes, concatenations and selections."""

from collections import Counter
from collections.abc import Iterable

from systolith.plan.area.parts import (
    LutsAndFlipFlops,
    counter_bits,
    double_buffer_parts,
    join_parts,
    queue_parts,
    select_luts,
)
from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.moving.select_plan import SelectPlan
from systolith.plan.sizes.latency import PREFETCHED
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan

__all__ = ["concat_parts", "fork_parts", "gearbox_parts", "select_parts"]


def fork_parts(plan: ForkPlan) -> LutsAndFlipFlops:
    """Count the queues of a fork; those in block RAM read ahead into a small one."""
    width = plan.lanes * plan.output.type.bits
    queues = []
    for depth, deep in zip(plan.depths, plan.deep, strict=True):
        queues.append(queue_parts(PREFETCHED if deep else depth, width))
        if deep:
            places = 4 * depth.bit_length()
            luts = Counter({"deep queue": 1, "place bits": places})
            queues.append((luts, Counter({"deep queue": 1, "register bits": places})))
    return join_parts(*queues)


def concat_parts(plan: ConcatPlan) -> LutsAndFlipFlops:
    """Count the multiplexer of a concatenation, its counters, and its queue."""
    width = plan.lanes * plan.output.type.bits
    counters = counter_bits(max(plan.turns)) + counter_bits(len(plan.turns))
    luts = Counter({"place bits": counters, "selected bits": width * select_luts(len(plan.inputs))})
    return join_parts((luts, Counter({"register bits": counters})), queue_parts(plan.depth, width))


def gearbox_parts(plan: GearboxPlan) -> LutsAndFlipFlops:
    """Count the registers of a gearbox, its counters, and the multiplexer if it narrows."""
    wide, narrow = max(plan.lanes_in, plan.lanes_out), min(plan.lanes_in, plan.lanes_out)
    bits = plan.tensor.type.bits
    counters = [wide // narrow, max(plan.transfers_in, plan.transfers_out)]
    narrows = plan.lanes_in > plan.lanes_out
    chosen = narrow * bits * select_luts(wide // narrow) if narrows else 0
    return _double_buffer(wide * bits, chosen, counters)


def select_parts(plan: SelectPlan) -> LutsAndFlipFlops:
    """Count the registers of a selection without channels that nobody reads, and multiplexers."""
    bits, lanes = plan.input.type.bits, [*zip(*plan.sources, strict=True)]
    kept = len({place for lane in lanes for place in lane})
    chosen = bits * sum(select_luts(len({*places})) for places in lanes)
    counters = [plan.block // plan.lanes_in, len(plan.groups), plan.transfers_out]
    return _double_buffer(kept * bits, chosen, counters)


def _double_buffer(bits: int, chosen: int, counters: Iterable[int]) -> LutsAndFlipFlops:
    """Count two registers of `bits` bits, counters, and multiplexers of `chosen` LUTs."""
    counted = sum(map(counter_bits, counters))
    luts = Counter({"place bits": counted, "selected bits": chosen})
    return join_parts(double_buffer_parts(bits), (luts, Counter({"register bits": counted})))
