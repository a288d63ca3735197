"""The equations of the cycle model, compiled: there are millions of events.

Each stream has the cycle in which each transfer was offered, and the one in which it was taken.
Each stage evaluates whatever follows from what is known; so it goes round until nothing new does.
Cycles are lists of int64 in two flat arrays, one part per stream.
"""

import numpy as np
from numpy.typing import NDArray

from systolith.plan.cycles.compiling import compiled

__all__ = ["ADD", "ENGINE", "FORK", "GEARBOX", "PARAMETERS", "SINK", "evaluate"]

ENGINE, GEARBOX, ADD, FORK, SINK = range(5)

PARAMETERS = (
    *("kind", "source", "other", "sink", "frames"),
    *("transfers_per_pixel", "input_pixels", "output_pixels", "capacity", "passes"),
    *("pass_cycles", "latency", "arrive_latency", "free_latency", "credit_latency"),
    *("credit_spare", "table", "branches"),
)
"""Columns of the table of stages: numbers of streams, and what the plan says.

`table` is where the stage's part of the table of numbers begins: for an engine, the pixels needed
and freed by each output pixel and the transfers of each pass; for a gearbox, the transfers that
fill and empty its register, for each filling of a pixel (`passes` of them); for a fork, its
streams, their depths, latencies and latencies of room.
"""
KIND, SOURCE, OTHER, SINK_STREAM, FRAMES = range(5)
TRANSFERS, INPUT_PIXELS, OUTPUT_PIXELS, CAPACITY, PASSES = range(5, 10)
PASS_CYCLES, LATENCY, ARRIVE_LATENCY, FREE_LATENCY, CREDIT_LATENCY = range(10, 15)
CREDIT_SPARE, TABLE, BRANCHES = range(15, 18)

(FREEING, FREED, PIXEL, NUMBER, FREE_AT, RESERVED, FILLED) = range(7)
STATES = 7
QUEUE = 4
"""Numbers of each queue of a fork."""

Ints = NDArray[np.int64]


@compiled
def _accept(
    stage: Ints, state: Ints, table: Ints, freed_at: Ints, base: Ints, offered: Ints, taken: Ints,
    offers: Ints, takes: Ints,
) -> bool:  # fmt: skip
    """Take offered transfers while the buffer has room for their pixel."""
    source = stage[SOURCE]
    at, number = base[source], takes[source]
    before = number
    last = taken[at + number - 1] if number else -1
    pixels, outputs = stage[INPUT_PIXELS], stage[OUTPUT_PIXELS]
    freed = stage[TABLE] + outputs
    end = min(offers[source], stage[FRAMES] * pixels * stage[TRANSFERS])
    while number < end:
        time = max(offered[at + number], last + 1)
        room = number // stage[TRANSFERS] - stage[CAPACITY] + 1
        if room > 0:
            while state[FREEING] < state[FREED]:
                frame, output = divmod(state[FREEING], outputs)
                if frame * pixels + table[freed + output] >= room:
                    break
                state[FREEING] += 1
            if state[FREEING] == state[FREED]:
                break
            time = max(time, freed_at[state[FREEING]])
        taken[at + number] = last = time
        number += 1
    takes[source] = number
    return bool(number > before)


@compiled
def _issue(
    stage: Ints, state: Ints, table: Ints, freed_at: Ints, base: Ints, offered: Ints, taken: Ints,
    offers: Ints, takes: Ints,
) -> bool:  # fmt: skip
    """Issue passes whose pixels have arrived and whose results have room."""
    source, sink = stage[SOURCE], stage[SINK_STREAM]
    outputs = stage[OUTPUT_PIXELS]
    needed, transfers = stage[TABLE], stage[TABLE] + 2 * outputs
    progress = False
    while state[PIXEL] < stage[FRAMES] * outputs:
        frame, output = divmod(state[PIXEL], outputs)
        arrival = (frame * stage[INPUT_PIXELS] + table[needed + output]) * stage[TRANSFERS] - 1
        if arrival >= takes[source]:
            break
        credit = state[RESERVED] - stage[CREDIT_SPARE]
        if credit > takes[sink]:
            break
        time = max(state[FREE_AT], taken[base[source] + arrival] + stage[ARRIVE_LATENCY])
        if credit > 0:
            time = max(time, taken[base[sink] + credit - 1] + stage[CREDIT_LATENCY])
        last_step = time + stage[PASS_CYCLES] - 1
        state[FREE_AT] = last_step + 1
        for part in range(table[transfers + state[NUMBER]]):
            offered[base[sink] + offers[sink]] = last_step + stage[LATENCY] + 1 + part
            offers[sink] += 1
            state[RESERVED] += 1
        state[NUMBER] += 1
        if state[NUMBER] == stage[PASSES]:
            state[NUMBER] = 0
            state[PIXEL] += 1
            freed_at[state[FREED]] = last_step + stage[FREE_LATENCY]
            state[FREED] += 1
        progress = True
    return progress


@compiled
def _change(
    stage: Ints, state: Ints, table: Ints, base: Ints, offered: Ints, taken: Ints,
    offers: Ints, takes: Ints,
) -> bool:  # fmt: skip
    """A gearbox: its register is filled by the transfers of a group, then emptied by those of one.

    Later transfers of a group are offered as soon as the earlier are taken.
    """
    source, sink = stage[SOURCE], stage[SINK_STREAM]
    progress = False
    while state[PIXEL] < stage[FRAMES] * stage[INPUT_PIXELS]:
        group = stage[TABLE] + 2 * state[NUMBER]
        number = takes[source]
        last = taken[base[source] + number - 1] if number else -1
        if state[FILLED] == table[group]:
            for _ in range(table[group + 1]):
                offered[base[sink] + offers[sink]] = last + 1
                offers[sink] += 1
            state[FILLED] = 0
            state[NUMBER] += 1
            if state[NUMBER] == stage[PASSES]:
                state[NUMBER] = 0
                state[PIXEL] += 1
        elif number == offers[source] or takes[sink] < offers[sink]:
            break
        else:
            time = max(offered[base[source] + number], last + 1)
            if state[FILLED] == 0 and takes[sink]:
                time = max(time, taken[base[sink] + takes[sink] - 1])
            taken[base[source] + number] = time
            takes[source] += 1
            state[FILLED] += 1
        progress = True
    return progress


@compiled
def _add(stage: Ints, base: Ints, offered: Ints, taken: Ints, offers: Ints, takes: Ints) -> bool:
    """A pair is taken when both are offered and their result has room."""
    first, second, sink = stage[SOURCE], stage[OTHER], stage[SINK_STREAM]
    number = takes[first]
    before = number
    while number < min(offers[first], offers[second]):
        credit = number - stage[CREDIT_SPARE]
        if credit > takes[sink]:
            break
        time = max(offered[base[first] + number], offered[base[second] + number])
        if number:
            time = max(time, taken[base[first] + number - 1] + 1)
        if credit > 0:
            time = max(time, taken[base[sink] + credit - 1] + stage[CREDIT_LATENCY])
        taken[base[first] + number] = taken[base[second] + number] = time
        offered[base[sink] + number] = time + stage[LATENCY] + 1
        number += 1
    takes[first] = takes[second] = offers[sink] = number
    return bool(number > before)


@compiled
def _copy(
    stage: Ints, table: Ints, base: Ints, offered: Ints, taken: Ints, offers: Ints, takes: Ints
) -> bool:
    """A fork: a transfer is taken when every queue has room for it."""
    source = stage[SOURCE]
    number = takes[source]
    before = number
    while number < offers[source]:
        time = offered[base[source] + number]
        if number:
            time = max(time, taken[base[source] + number - 1] + 1)
        blocked = False
        for branch in range(stage[BRANCHES]):
            at = stage[TABLE] + QUEUE * branch
            sink, depth, room_latency = table[at], table[at + 1], table[at + 3]
            if number >= depth:
                if takes[sink] <= number - depth:
                    blocked = True
                    break
                time = max(time, taken[base[sink] + number - depth] + room_latency)
        if blocked:
            break
        taken[base[source] + number] = time
        for branch in range(stage[BRANCHES]):
            at = stage[TABLE] + QUEUE * branch
            sink, latency = table[at], table[at + 2]
            offered[base[sink] + number] = time + latency
            offers[sink] = number + 1
        number += 1
    takes[source] = number
    return bool(number > before)


@compiled
def _consume(
    stage: Ints, base: Ints, offered: Ints, taken: Ints, offers: Ints, takes: Ints
) -> bool:
    """The consumer: takes whatever is offered, one transfer per cycle."""
    source = stage[SOURCE]
    before = takes[source]
    for number in range(before, offers[source]):
        time = offered[base[source] + number]
        if number:
            time = max(time, taken[base[source] + number - 1] + 1)
        taken[base[source] + number] = time
    takes[source] = offers[source]
    return bool(offers[source] > before)


@compiled
def evaluate(
    stages: Ints, neighbours: Ints, table: Ints, base: Ints, offered: Ints, taken: Ints,
    offers: Ints, takes: Ints,
) -> None:  # fmt: skip
    """Evaluate stages until nothing new follows; each again only after a neighbour got on.

    Parameters
    ----------
    stages : array of int64, shape (S, len(PARAMETERS))
    neighbours : array of int64, shape (S, most)
        Stages that share a stream with each; filled up with -1.
    table : array of int64, shape (T,)
    base : array of int64, shape (E,)
        Where each stream's part begins.
    offered, taken : array of int64, shape (N,)
        Cycles of all transfers of all streams; filled in here, but for what enters.
    offers, takes : array of int64, shape (E,)
        How many of each stream are known.
    """
    states = np.zeros((len(stages), STATES), dtype=np.int64)
    freed_base = np.zeros(len(stages) + 1, dtype=np.int64)
    for number, stage in enumerate(stages):
        pixels = stage[FRAMES] * stage[OUTPUT_PIXELS] if stage[KIND] == ENGINE else 0
        freed_base[number + 1] = freed_base[number] + pixels
    freed_at = np.zeros(freed_base[-1], dtype=np.int64)
    waiting = np.ones(len(stages), dtype=np.bool_)
    while waiting.any():
        for number in range(len(stages)):
            if not waiting[number]:
                continue
            waiting[number] = False
            stage, state = stages[number], states[number]
            kind = stage[KIND]
            if kind == ENGINE:
                freed = freed_at[freed_base[number] : freed_base[number + 1]]
                progress = _accept(stage, state, table, freed, base, offered, taken, offers, takes)
                # What is issued frees pixels, so more can be accepted: it is its own neighbour.
                if _issue(stage, state, table, freed, base, offered, taken, offers, takes):
                    progress = waiting[number] = True
            elif kind == GEARBOX:
                progress = _change(stage, state, table, base, offered, taken, offers, takes)
            elif kind == ADD:
                progress = _add(stage, base, offered, taken, offers, takes)
            elif kind == FORK:
                progress = _copy(stage, table, base, offered, taken, offers, takes)
            else:
                progress = _consume(stage, base, offered, taken, offers, takes)
            if progress:
                for neighbour in neighbours[number]:
                    if neighbour >= 0:
                        waiting[neighbour] = True
