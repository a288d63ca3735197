"""How deep the queues of forks must be, by the cycle model."""

from dataclasses import replace

from systolith.plan.fork_plan import ForkPlan
from systolith.plan.stages import StageGraph
from systolith.plan.timeline import timeline

__all__ = ["LEAST_DEPTH", "sized_queues"]

LEAST_DEPTH = 2
"""So that a transfer can enter while another leaves."""
FRAMES = 8


def sized_queues(graph: StageGraph) -> StageGraph:
    """Make each queue as shallow as the pace allows.

    First come the depths that deep queues really use: with those, every event stays where it was.
    Those still hold what runs ahead of the slowest stage without need; so queue by queue, bisection
    finds the smallest depth at which the last of some frames leaves no later. Shallower queues
    elsewhere never make that depth smaller, unless one of them has moved from block memory into
    registers, which are quicker: then all are looked at again.

    Parameters
    ----------
    graph : StageGraph
        Whose queues are deep enough never to be full.
    """
    run = timeline(graph, FRAMES)
    for fork in [stage for stage in graph.stages if isinstance(stage, ForkPlan)]:
        used = tuple(max(depth, LEAST_DEPTH) for depth in run.most_queued[fork.name])
        graph = _with(graph, replace(fork, depths=used))
    while True:
        smaller = _reduced(graph, timeline(graph, FRAMES).last_output[-1])
        if _deep(smaller) == _deep(graph):
            return smaller
        graph = smaller


def _reduced(graph: StageGraph, end: int) -> StageGraph:
    """Reduce each queue once, in turn."""
    for name in [stage.name for stage in graph.stages if isinstance(stage, ForkPlan)]:
        fork = _fork(graph, name)
        for branch, most in enumerate(fork.depths):
            fork = fork.with_depth(branch, _least_depth(graph, fork, branch, most, end))
            graph = _with(graph, fork)
    return graph


def _least_depth(graph: StageGraph, fork: ForkPlan, branch: int, most: int, end: int) -> int:
    low, high = LEAST_DEPTH, most
    if low < high and not _ends_by(_with(graph, fork.with_depth(branch, most - 1)), end):
        return most
    while low < high:
        middle = (low + high) // 2
        if _ends_by(_with(graph, fork.with_depth(branch, middle)), end):
            high = middle
        else:
            low = middle + 1
    return low


def _ends_by(graph: StageGraph, end: int) -> bool:
    try:
        return timeline(graph, FRAMES).last_output[-1] <= end
    except RuntimeError:
        return False


def _deep(graph: StageGraph) -> list[tuple[bool, ...]]:
    return [stage.deep for stage in graph.stages if isinstance(stage, ForkPlan)]


def _fork(graph: StageGraph, name: str) -> ForkPlan:
    (fork,) = [stage for stage in graph.stages if stage.name == name]
    assert isinstance(fork, ForkPlan)
    return fork


def _with(graph: StageGraph, fork: ForkPlan) -> StageGraph:
    return graph.replaced([fork if stage.name == fork.name else stage for stage in graph.stages])
