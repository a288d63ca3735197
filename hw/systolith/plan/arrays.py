"""Which array shape each layer gets, so that all layers take nearly the same cycles."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import ceil

from systolith.network import Conv2d, IntegerNetwork, Linear
from systolith.plan.conv_plan import ArrayShape
from systolith.plan.errors import PlanError
from systolith.plan.work import Work, no_engine, work_of

__all__ = ["bad_arrays", "choose_arrays", "least_cycles"]


def least_cycles(work: Work, array: ArrayShape) -> int:
    """Cycles per frame of an array: the ceiling formula, or its input stream at its widest.

    A transfer is at most as wide as the rows' memories differ; see :meth:`Work.transfers`.
    """
    folds = (
        work.reads.folds(array.rows)
        * ceil(work.slots / array.multipliers)
        * ceil(work.filters / array.width)
    )
    window = work.window
    return max(window.output_pixels * folds, window.input_pixels * work.transfers(array))


def bad_arrays(network: IntegerNetwork, arrays: Mapping[str, ArrayShape]) -> Iterator[str]:
    """Name every array that is for no layer, no array at all, or larger than its layer."""
    layers = {layer.name: layer for layer in network.layers if isinstance(layer, Conv2d | Linear)}
    for name, array in arrays.items():
        if name not in layers:
            known = f"there are {', '.join(layers)}" if layers else "there are none"
            yield f"array for '{name}': no such convolution or linear layer; {known}"
            continue
        if not isinstance(array, ArrayShape):
            yield f"array for '{name}': must be an ArrayShape, got {array!r}"
            continue
        if any(no_engine(network, layers[name])):
            continue
        work = work_of(network, layers[name])
        for what, given, most in (
            ("rows", array.rows, work.reduction),
            ("columns", array.columns, ceil(work.filters / max(array.packed, 1))),
            ("multipliers", array.multipliers, work.slots),
            ("packed", array.packed, work.packed),
        ):
            if not 1 <= given <= most:
                yield f"array for '{name}': {what} must be 1..{most}, got {given}"
        if work.multiplicity and array.columns % work.multiplicity:
            yield (
                f"array for '{name}': columns must be a multiple of the {work.multiplicity} "
                f"filters per channel, got {array.columns}"
            )


def choose_arrays(
    works: Sequence[Work], fixed: Mapping[str, ArrayShape], budget: int
) -> dict[str, ArrayShape]:
    """Find the shapes whose slowest layer is as fast as possible; exact.

    For a pace, each layer takes its cheapest shape that keeps it, and the budget decides whether
    the pace is possible. The best possible pace is found by bisection over those that occur.

    Parameters
    ----------
    works : sequence of Work
        All layers with a PE array.
    fixed : mapping of str to ArrayShape
        Shapes that are given.
    budget : int
        Multipliers of all arrays together.

    Returns
    -------
    dict of str to ArrayShape
        One for every layer.

    Raises
    ------
    PlanError
        If even the smallest arrays exceed the budget.
    """
    options = {
        work.name: [(least_cycles(work, fixed[work.name]), fixed[work.name])]
        if work.name in fixed
        else _frontier(work)
        for work in works
    }
    least = sum(option[-1][1].total for option in options.values())
    if least > budget:
        need = f"{len(works)} PE arrays need at least {least} multipliers"
        raise PlanError([f"{need}, but the budget is {budget}"])
    paces = sorted({cycles for option in options.values() for cycles, _ in option})
    low, high = 0, len(paces) - 1
    while low < high:
        middle = (low + high) // 2
        chosen = _cheapest(options, paces[middle])
        if chosen and sum(array.total for array in chosen.values()) <= budget:
            high = middle
        else:
            low = middle + 1
    return _cheapest(options, paces[low])


def _cheapest(
    options: Mapping[str, Sequence[tuple[int, ArrayShape]]], pace: int
) -> dict[str, ArrayShape]:
    """For each layer the cheapest shape that keeps the pace; empty if some layer has none."""
    chosen = {}
    for name, option in options.items():
        fitting = [array for cycles, array in option if cycles <= pace]
        if not fitting:
            return {}
        chosen[name] = fitting[-1]
    return chosen


def _frontier(work: Work) -> list[tuple[int, ArrayShape]]:
    """Shapes of one layer from fastest to cheapest, without those beaten in both.

    Among equals the array with the most rows wins: sums run down the rows for free, while every
    column costs an accumulator and a place in the drain.
    """
    sizes = product(_row_sizes(work), _column_sizes(work), _folded(work.slots))
    shapes = [
        ArrayShape(rows=rows, columns=columns, multipliers=multipliers, packed=work.packed)
        for rows, columns, multipliers in sizes
    ]
    cycles = {shape: least_cycles(work, shape) for shape in shapes}
    frontier: list[tuple[int, ArrayShape]] = []
    for shape in sorted(shapes, key=lambda shape: (cycles[shape], shape.total, -shape.rows)):
        if not frontier or shape.total < frontier[-1][1].total:
            frontier.append((cycles[shape], shape))
    return frontier


def _row_sizes(work: Work) -> list[int]:
    """The fewest rows for each number of folds and of memories."""
    fewest: dict[tuple[int, int], int] = {}
    for rows in range(1, work.reduction + 1):
        fewest.setdefault((work.reads.folds(rows), work.reads.banks(rows)), rows)
    return list(fewest.values())


def _column_sizes(work: Work) -> list[int]:
    """Columns with nothing to spare; all filters of a channel side by side."""
    if not work.multiplicity:
        return _folded(ceil(work.filters / work.packed))
    return [channels * work.multiplicity for channels in _folded(work.channels)]


def _folded(length: int) -> list[int]:
    """Sizes that cover `length` in some number of folds with nothing to spare."""
    return sorted({ceil(length / folds) for folds in range(1, length + 1)})
