"""Depths of the queues of forks, by the cycle model."""

from dataclasses import replace

from systolith.plan.cycles.timeline import Timeline, compute_timeline
from systolith.plan.streams.fork_plan import DEEP, LEAST_DEPTH, ForkPlan
from systolith.plan.streams.joining import NEVER_FULL
from systolith.plan.streams.stage_graph import StageGraph

__all__ = ["size_queues"]

FRAMES = 8
"""Frames that the cycle model evaluates for each choice of depths."""
GROWTH = 4
"""Of the steps that look for the least depth of a queue, until one is too far."""


def size_queues(graph: StageGraph) -> StageGraph:
    """Make each queue as shallow as the pace allows.

    A queue in registers has a shorter latency than one in block memory, but holds less. The first
    step places each queue: with all queues as deep as their places allow, a queue moves into
    registers if the last frame leaves no later, or into block memory if it leaves earlier, until no
    move helps. No depths reach an earlier end with these places.

    The second step sizes each queue. The queues of that run also hold transfers that needlessly run
    ahead of the slowest stage. Queue by queue, a search finds the smallest depth at which the last
    frame leaves no later. Shallower queues elsewhere never make that depth smaller.

    Parameters
    ----------
    graph : StageGraph
        Its queues are deep enough never to be full.
    """
    while True:
        run = compute_timeline(graph, FRAMES)
        for move in (_reduce_to_use, _into_block_memory, _into_registers):
            moved = move(graph, run)
            if _deep(moved) != _deep(graph):
                graph = _deepest(moved)
                break
        else:
            return _reduce(_reduce_to_use(graph, run), run.last_output[-1])


def _deepest(graph: StageGraph) -> StageGraph:
    """Make each queue as deep as it can be in its place."""
    for fork in _forks(graph):
        depths = tuple(NEVER_FULL if deep else DEEP - 1 for deep in fork.deep)
        graph = _with(graph, replace(fork, depths=depths))
    return graph


def _reduce_to_use(graph: StageGraph, run: Timeline) -> StageGraph:
    """Make each queue as deep as it is used; unless one moves, no event changes."""
    for fork in _forks(graph):
        used = tuple(max(depth, LEAST_DEPTH) for depth in run.most_queued[fork.name])
        graph = _with(graph, replace(fork, depths=used))
    return graph


def _into_block_memory(graph: StageGraph, run: Timeline) -> StageGraph:
    """Move the first full queue out of registers whose move makes the last frame leave earlier."""
    for fork in _forks(graph):
        for branch, most in enumerate(run.most_queued[fork.name]):
            if most == fork.depths[branch]:
                moved = _with(graph, fork.with_depth(branch, NEVER_FULL))
                if _ends_by(moved, run.last_output[-1] - 1):
                    return moved
    return graph


def _into_registers(graph: StageGraph, run: Timeline) -> StageGraph:
    """Move each queue out of block memory whose move makes the last frame leave no later."""
    for fork in _forks(graph):
        for branch, deep in enumerate(fork.deep):
            if deep:
                shallow = fork.with_depth(branch, DEEP - 1)
                if _ends_by(_with(graph, shallow), run.last_output[-1]):
                    fork = shallow
                    graph = _with(graph, fork)
    return graph


def _reduce(graph: StageGraph, end: int) -> StageGraph:
    """Reduce each queue once, in turn, in its place."""
    for fork in _forks(graph):
        for branch, most in enumerate(fork.depths):
            fork = fork.with_depth(branch, _least_depth(graph, fork, branch, most, end))
            graph = _with(graph, fork)
    return graph


def _least_depth(graph: StageGraph, fork: ForkPlan, branch: int, most: int, end: int) -> int:
    """Search downwards in growing steps, then bisect: most queues need nearly all they use."""

    def suffices(depth: int) -> bool:
        return _ends_by(_with(graph, fork.with_depth(branch, depth)), end)

    low, high, step = DEEP if most >= DEEP else LEAST_DEPTH, most, 1
    while low < high:
        middle = max(high - step, (low + high) // 2)
        if suffices(middle):
            high, step = middle, GROWTH * step
        else:
            low, step = middle + 1, high
    return low


def _ends_by(graph: StageGraph, end: int) -> bool:
    try:
        return compute_timeline(graph, FRAMES).last_output[-1] <= end
    except RuntimeError:
        return False


def _deep(graph: StageGraph) -> list[tuple[bool, ...]]:
    return [fork.deep for fork in _forks(graph)]


def _forks(graph: StageGraph) -> list[ForkPlan]:
    return [stage for stage in graph.stages if isinstance(stage, ForkPlan)]


def _with(graph: StageGraph, fork: ForkPlan) -> StageGraph:
    return graph.with_stages([fork if stage.name == fork.name else stage for stage in graph.stages])
