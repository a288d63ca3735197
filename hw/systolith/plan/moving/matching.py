"""Lanes of selections and concatenations that fit their neighbours."""

from collections.abc import Sequence
from math import gcd

from systolith.network import INPUT, Concat, IntegerNetwork, SelectChannels
from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.moving.layer_movers import plan_moving
from systolith.plan.moving.select_plan import SelectPlan
from systolith.plan.sizes.workload import source_of
from systolith.plan.streams.joining import readers_of
from systolith.plan.streams.stage_graph import EnginePlan

__all__ = ["match_lanes"]


def match_lanes(
    network: IntegerNetwork, engines: Sequence[EnginePlan], pace: int
) -> list[EnginePlan]:
    """Choose the lanes of selections and concatenations again, with the fewest registers.

    Registers are those of the stage itself and of the gearboxes to its neighbours, which have their
    lanes by now. No stage takes more cycles than the pace.

    Parameters
    ----------
    network : IntegerNetwork
    engines : sequence of EnginePlan
        One for each layer except flattenings, in the network's order.
    pace : int
        Cycles per frame.
    """
    chosen = {engine.name: engine for engine in engines}
    for engine in engines:
        layer = network[engine.name]
        if isinstance(layer, Concat | SelectChannels):
            options = [
                option for option in plan_moving(network, layer, []) if option.cycles <= pace
            ]
            chosen[engine.name] = min(
                (option for option in options if isinstance(option, ConcatPlan | SelectPlan)),
                key=lambda option: _registers(network, option, chosen),
                default=engine,
            )
    return [chosen[engine.name] for engine in engines]


def _registers(
    network: IntegerNetwork, plan: ConcatPlan | SelectPlan, engines: dict[str, EnginePlan]
) -> int:
    """Count the channels that the stage and the gearboxes around it hold."""
    own = plan.block if isinstance(plan, SelectPlan) else plan.depth * plan.lanes
    sources = [source_of(network, name) for name in network[plan.name].inputs]
    before = [engines[name].lanes_out if name != INPUT else plan.lanes_in for name in sources]
    behind = [
        1 if reader is None else engines[reader.name].lanes_in
        for reader, _ in readers_of(network, plan.name)
    ]
    return (
        own
        + sum(_between(lanes, plan.lanes_in) for lanes in before)
        + sum(_between(plan.lanes_out, lanes) for lanes in behind)
    )


def _between(first: int, second: int) -> int:
    """Channels that the gearboxes between two widths hold."""
    common = gcd(first, second)
    return sum(width for width in (first, second) if width != common)
