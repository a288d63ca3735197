"""The equations of the cycle model, compiled by Numba: a run has millions of events.

Each transfer of each stream has the cycle in which it is offered, and the one in which it is taken.
Each stage computes all cycles that follow from those already known. Stages are evaluated in turn
until nothing new follows.

All functions are in one file: Numba compiles one again if its own file has changed, not if that of
a function that it calls has.
"""

from systolith.plan.cycles.compiled import jit
from systolith.plan.cycles.records import Flags, Ints, Model, Record, Records

__all__ = [
    "COMBINE",
    "CONCAT",
    "ENGINE",
    "FORK",
    "GEARBOX",
    "REDUCE",
    "SINK",
    "SPLIT",
    "evaluate_model",
]

ENGINE, GEARBOX, SPLIT, COMBINE, REDUCE, CONCAT, FORK, SINK = range(8)
"""Kinds of stages. One that splits offers several transfers for each that it takes. One that
combines takes a transfer of each of its two inputs and offers one; one that reduces
offers one for all transfers of a pixel. A sink is a consumer of one of the network's outputs."""


@jit
def _accept(stage: Record, model: Model) -> bool:
    """Take offered transfers while the window buffer has room for their pixel."""
    source = model.streams[stage.source]
    incoming = model.transfers[source.begin :]
    windows = model.windows[stage.first_window :]
    freed_at = model.freed_at[stage.first_freed :]
    number = before = source.takes
    last = incoming[number - 1].taken if number else -1
    end = min(source.offers, stage.frames * stage.input_pixels * stage.transfers_per_pixel)
    while number < end:
        time = max(incoming[number].offered, last + 1)
        room = number // stage.transfers_per_pixel - stage.capacity + 1
        if room > 0:
            while stage.freeing < stage.freed:
                frame, output = divmod(stage.freeing, stage.output_pixels)
                if frame * stage.input_pixels + windows[output].freed >= room:
                    break
                stage.freeing += 1
            if stage.freeing == stage.freed:
                break
            time = max(time, freed_at[stage.freeing])
        incoming[number].taken = last = time
        number += 1
    source.takes = number
    return bool(number > before)


@jit
def _issue(stage: Record, model: Model) -> bool:
    """Issue passes whose pixels have arrived and whose results have room."""
    source, sink = model.streams[stage.source], model.streams[stage.sink]
    incoming, outgoing = model.transfers[source.begin :], model.transfers[sink.begin :]
    windows = model.windows[stage.first_window :]
    pass_transfers = model.pass_transfers[stage.first_pass :]
    freed_at = model.freed_at[stage.first_freed :]
    progress = False
    while stage.pixel < stage.frames * stage.output_pixels:
        frame, output = divmod(stage.pixel, stage.output_pixels)
        pixels = frame * stage.input_pixels + windows[output].needed
        arrival = pixels * stage.transfers_per_pixel - 1
        if arrival >= source.takes:
            break
        credit = stage.reserved - stage.credit_spare
        if credit > sink.takes:
            break
        time = max(stage.free_at, incoming[arrival].taken + stage.arrive_latency)
        if credit > 0:
            time = max(time, outgoing[credit - 1].taken + stage.credit_latency)
        last_step = time + stage.pass_cycles - 1
        stage.free_at = last_step + 1
        for part in range(pass_transfers[stage.number]):
            outgoing[sink.offers].offered = last_step + stage.latency + part
            sink.offers += 1
            stage.reserved += 1
        stage.number += 1
        if stage.number == stage.passes:
            stage.number = 0
            stage.pixel += 1
            freed_at[stage.freed] = last_step + stage.free_latency
            stage.freed += 1
        progress = True
    return progress


@jit
def _change_width(stage: Record, model: Model) -> bool:
    """Fill a register with the transfers of a group, and empty one with those of the group before.

    A group moves from the first register to the second as soon as it is complete and the group
    before it has left; the next one enters the first register from the cycle after on. Groups
    without output transfers are dropped.
    """
    source, sink = model.streams[stage.source], model.streams[stage.sink]
    incoming, outgoing = model.transfers[source.begin :], model.transfers[sink.begin :]
    progress = False
    while source.takes < source.offers and stage.pixel < stage.frames * stage.input_pixels:
        group = model.groups[stage.first_group + stage.number]
        time = incoming[source.takes].offered
        if source.takes:
            time = max(time, incoming[source.takes - 1].taken + 1)
        # The last complete group moves when the one before it has left.
        before = sink.offers - stage.reserved
        if stage.filled == 0 and before > 0:
            if sink.takes < before:
                break
            time = max(time, outgoing[before - 1].taken + 1)
        incoming[source.takes].taken = time
        source.takes += 1
        stage.filled += 1
        if stage.filled == group.fills:
            for _ in range(group.empties):
                outgoing[sink.offers].offered = time + 1
                sink.offers += 1
            if group.empties:
                stage.reserved = group.empties
            stage.filled = 0
            stage.number += 1
            if stage.number == stage.passes:
                stage.number = 0
                stage.pixel += 1
        progress = True
    return progress


@jit
def _split(stage: Record, model: Model) -> bool:
    """Take a transfer when one of two registers is empty; move its parts to two registers behind.

    Of each pixel, `passes` transfers enter and `transfers_per_pixel` leave; all but the last one
    have `capacity` parts.
    """
    source, sink = model.streams[stage.source], model.streams[stage.sink]
    incoming, outgoing = model.transfers[source.begin :], model.transfers[sink.begin :]
    progress, changes = False, True
    while changes:
        changes = False
        number = source.takes
        # Parts that have moved when the transfer before the last one has left its register.
        pixel, group = divmod(number - 2, stage.passes)
        end = pixel * stage.transfers_per_pixel
        end += min((group + 1) * stage.capacity, stage.transfers_per_pixel)
        if number < source.offers and (number < 2 or end <= sink.offers):
            time = incoming[number].offered
            if number:
                time = max(time, incoming[number - 1].taken + 1)
            if number >= 2:
                time = max(time, outgoing[end - 1].offered)
            incoming[number].taken = time
            source.takes += 1
            progress = changes = True
        part = sink.offers
        pixel, place = divmod(part, stage.transfers_per_pixel)
        whole = pixel * stage.passes + place // stage.capacity
        if whole < source.takes and part - 2 < sink.takes:
            time = incoming[whole].taken + stage.latency
            if part:
                time = max(time, outgoing[part - 1].offered + 1)
            if part >= 2:
                time = max(time, outgoing[part - 2].taken + 2)
            outgoing[part].offered = time
            sink.offers += 1
            progress = changes = True
    return progress


@jit
def _enter(stage: Record, source: Record, joined: Records, model: Model) -> bool:
    """Take offered transfers of one input while the registers in front of the engine have room."""
    incoming = model.transfers[source.begin :]
    number = before = source.takes
    while number < source.offers:
        time = incoming[number].offered
        if number:
            time = max(time, incoming[number - 1].taken + 1)
        leaving = number - stage.capacity
        if leaving >= 0:
            if leaving >= model.streams[stage.sink].offers:
                break
            time = max(time, joined[leaving].offered - stage.latency + 1)
        incoming[number].taken = time
        number += 1
    source.takes = number
    return bool(number > before)


@jit
def _combine(stage: Record, model: Model) -> bool:
    """Let transfers of both inputs enter, and join pairs whose result has room."""
    first, second = model.streams[stage.source], model.streams[stage.other]
    sink = model.streams[stage.sink]
    left, right = model.transfers[first.begin :], model.transfers[second.begin :]
    outgoing = model.transfers[sink.begin :]
    progress = _enter(stage, first, outgoing, model)
    if _enter(stage, second, outgoing, model):
        progress = True
    number = before = sink.offers
    while number < min(first.takes, second.takes):
        credit = number - stage.credit_spare
        if credit > sink.takes:
            break
        time = max(left[number].taken, right[number].taken) + stage.arrive_latency
        if number:
            time = max(time, outgoing[number - 1].offered - stage.latency + 1)
        if credit > 0:
            time = max(time, outgoing[credit - 1].taken + stage.credit_latency)
        outgoing[number].offered = time + stage.latency
        number += 1
    sink.offers = number
    return bool(progress or number > before)


@jit
def _reduce(stage: Record, model: Model) -> bool:
    """Take the transfers of a pixel; the last one when their result has room."""
    source, sink = model.streams[stage.source], model.streams[stage.sink]
    incoming, outgoing = model.transfers[source.begin :], model.transfers[sink.begin :]
    number = before = source.takes
    while number < source.offers:
        time = incoming[number].offered
        if number:
            time = max(time, incoming[number - 1].taken + 1)
        last = number % stage.transfers_per_pixel == stage.transfers_per_pixel - 1
        if last:
            credit = sink.offers - stage.credit_spare
            if credit > sink.takes:
                break
            if credit > 0:
                time = max(time, outgoing[credit - 1].taken + stage.credit_latency)
            outgoing[sink.offers].offered = time + stage.latency
            sink.offers += 1
        incoming[number].taken = time
        number += 1
    source.takes = number
    return bool(number > before)


@jit
def _concatenate(stage: Record, model: Model) -> bool:
    """Take the transfers of each stream in turn while the queue behind them has room."""
    turns = model.turns[stage.first_turn : stage.first_turn + stage.branches]
    sink = model.streams[stage.sink]
    outgoing = model.transfers[sink.begin :]
    number = before = sink.offers
    while True:
        turn = turns[stage.number]
        source = model.streams[turn.stream]
        if source.takes == source.offers:
            break
        incoming = model.transfers[source.begin + source.takes]
        time = max(incoming.offered, stage.free_at)
        if number >= stage.capacity:
            if sink.takes <= number - stage.capacity:
                break
            time = max(time, outgoing[number - stage.capacity].taken + stage.free_latency)
        incoming.taken = time
        outgoing[number].offered = time + stage.latency
        stage.free_at = time + 1
        source.takes += 1
        number += 1
        stage.filled += 1
        if stage.filled == turn.transfers:
            stage.filled = 0
            stage.number = (stage.number + 1) % stage.branches
    sink.offers = number
    return bool(number > before)


@jit
def _copy(stage: Record, model: Model) -> bool:
    """Take a transfer into all queues of a fork when each has room."""
    source = model.streams[stage.source]
    incoming = model.transfers[source.begin :]
    queues = model.queues[stage.first_queue : stage.first_queue + stage.branches]
    number = before = source.takes
    while number < source.offers:
        time = incoming[number].offered
        if number:
            time = max(time, incoming[number - 1].taken + 1)
        blocked = False
        for queue in queues:
            if number >= queue.depth:
                sink = model.streams[queue.stream]
                if sink.takes <= number - queue.depth:
                    blocked = True
                    break
                leaving = model.transfers[sink.begin + number - queue.depth]
                time = max(time, leaving.taken + queue.room_latency)
        if blocked:
            break
        incoming[number].taken = time
        for queue in queues:
            sink = model.streams[queue.stream]
            model.transfers[sink.begin + number].offered = time + queue.latency
            sink.offers = number + 1
        number += 1
    source.takes = number
    return bool(number > before)


@jit
def _consume(stage: Record, model: Model) -> bool:
    """Take whatever is offered to a consumer, one transfer per cycle."""
    source = model.streams[stage.source]
    incoming = model.transfers[source.begin :]
    before = source.takes
    for number in range(before, source.offers):
        time = incoming[number].offered
        if number:
            time = max(time, incoming[number - 1].taken + 1)
        incoming[number].taken = time
    source.takes = source.offers
    return bool(source.takes > before)


@jit
def evaluate_model(model: Model, neighbours: Ints, waiting: Flags) -> None:
    """Evaluate stages until nothing new follows; each again only after a neighbour made progress.

    Parameters
    ----------
    model : Model
        Its cycles and states are filled in; the offers of the entering stream must be known.
    neighbours : array of int64, shape (S, most)
        Stages that share a stream with each stage, filled up with -1.
    waiting : array of bool, shape (S,)
        Whether each stage is still to be evaluated: at first all are, at the end none.
    """
    while waiting.any():
        for number in range(len(model.stages)):
            if not waiting[number]:
                continue
            waiting[number] = False
            stage = model.stages[number]
            if stage.kind == ENGINE:
                progress = _accept(stage, model)
                # Issued passes free pixels, so that more can be accepted: evaluate again.
                if _issue(stage, model):
                    progress = waiting[number] = True
            elif stage.kind == GEARBOX:
                progress = _change_width(stage, model)
            elif stage.kind == SPLIT:
                progress = _split(stage, model)
            elif stage.kind == COMBINE:
                # Pairs that are joined make room for others: evaluate again.
                progress = waiting[number] = _combine(stage, model)
            elif stage.kind == REDUCE:
                progress = _reduce(stage, model)
            elif stage.kind == CONCAT:
                progress = _concatenate(stage, model)
            elif stage.kind == FORK:
                progress = _copy(stage, model)
            else:
                progress = _consume(stage, model)
            if progress:
                for neighbour in neighbours[number]:
                    if neighbour >= 0:
                        waiting[neighbour] = True
