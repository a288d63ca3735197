"""Choice of an array shape for each layer, so that all layers take nearly the same cycles."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

from systolith.devices.budget import Budget, Resources
from systolith.network import Conv2d, IntegerNetwork, Linear, identifier
from systolith.plan.choose.solver import choose
from systolith.plan.sizes.array_shape import ArrayShape
from systolith.plan.sizes.reduction import Reduction
from systolith.plan.sizes.workload import Workload, engine_problems, workload_of

__all__ = ["array_problems", "array_shapes", "choose_arrays", "least_cycles", "resolve_layer_names"]


def least_cycles(work: Workload, array: ArrayShape) -> int:
    """Cycles per frame of an array: those of its steps, or of its input stream at its widest.

    :meth:`Workload.transfers` says how wide the stream can be.
    """
    work = work.on(array)
    folds = (
        work.reads.folds(array.rows)
        * ceil(work.slots / array.multipliers)
        * ceil(work.filters / array.width)
    )
    window = work.window
    return max(window.output_pixels * folds, window.input_pixels * work.transfers(array))


def resolve_layer_names(
    network: IntegerNetwork, arrays: Mapping[str, ArrayShape]
) -> dict[str, ArrayShape]:
    """Translate PyTorch names of layers, ``layer1.0.conv1``, to those of the network.

    Names of no layer, and second names of a layer, stay as they are.
    """
    layers = {layer.name for layer in network.layers}
    resolved: dict[str, ArrayShape] = {}
    for name, array in arrays.items():
        own = name if name in layers else identifier(name)
        unclear = own not in layers or own in resolved or (own != name and own in arrays)
        resolved[name if unclear else own] = array
    return resolved


def array_problems(
    network: IntegerNetwork, arrays: Mapping[str, ArrayShape], *, reloadable: bool = False
) -> Iterator[str]:
    """Name every array whose layer does not exist, or that does not fit its layer."""
    layers = {layer.name: layer for layer in network.layers if isinstance(layer, Conv2d | Linear)}
    for name, array in arrays.items():
        if name not in layers:
            known = f"there are {', '.join(layers)}" if layers else "there are none"
            yield f"array for '{name}': no such convolution or linear layer; {known}"
            continue
        if not isinstance(array, ArrayShape):
            yield f"array for '{name}': must be an ArrayShape, got {array!r}"
            continue
        if any(engine_problems(network, layers[name])):
            continue
        work = workload_of(network, layers[name], reloadable=reloadable)
        sizes = work.multipliers
        if array.multipliers not in sizes:
            rule = f"1..{sizes[-1]}" if work.single_bits is None else f"a divisor of {sizes[-1]}"
            yield f"array for '{name}': multipliers must be {rule}, got {array.multipliers}"
        else:
            work = work.on(array)
        for what, given, most in (
            ("rows", array.rows, work.reduction),
            ("columns", array.columns, ceil(work.filters / max(array.packed, 1))),
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
    works: Sequence[Workload], fixed: Mapping[str, ArrayShape], budget: int
) -> dict[str, ArrayShape]:
    """Choose the shapes whose slowest layer is the fastest that a number of multipliers allows.

    The choice is exact, and fast because only multipliers count. No layer gets more multipliers
    than it needs for the pace of the slowest.

    Parameters
    ----------
    works : sequence of Workload
        One for each layer with a PE array.
    fixed : mapping of str to ArrayShape
        Given shapes.
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
    options = [_frontier(work, fixed.get(work.name)) for work in works]
    chosen = choose(options, Budget(multipliers=budget))
    return {work.name: option.array for work, option in zip(works, chosen, strict=True)}


def array_shapes(work: Workload) -> list[ArrayShape]:
    """List the shapes that can be optimal, those with most rows first.

    Every other shape has more rows, columns or multipliers than a listed one of equal cycles.
    """
    return [
        ArrayShape(rows=rows, columns=columns, multipliers=multipliers, packed=packed)
        for packed in sorted({work.packed, 1}, reverse=True)
        for rows, sizes in _pe_sizes(work)
        for columns, multipliers in product(_column_sizes(work, packed), sizes)
    ]


@dataclass(frozen=True, slots=True)
class _Option:
    array: ArrayShape
    cycles: int

    @property
    def resources(self) -> Resources:
        return Resources(multipliers=self.array.total)


def _frontier(work: Workload, fixed: ArrayShape | None) -> list[_Option]:
    """Shapes of one layer that no other shape beats in both cycles and multipliers."""
    shapes = array_shapes(work) if fixed is None else [fixed]
    options = [_Option(shape, least_cycles(work, shape)) for shape in shapes]
    frontier: list[_Option] = []
    for option in sorted(options, key=lambda option: (option.cycles, option.array.total)):
        if not frontier or option.array.total < frontier[-1].array.total:
            frontier.append(option)
    return frontier


def _pe_sizes(work: Workload) -> list[tuple[int, list[int]]]:
    """Numbers of rows, the most first, each with the numbers of multipliers of its PEs."""
    sizes = work.multipliers if work.single_bits else _fold_sizes(work.slots)
    grouped = {
        multipliers: work.on(ArrayShape(rows=1, columns=1, multipliers=multipliers)).reads
        for multipliers in sizes
    }
    rows = {reads: _row_sizes(reads) for reads in set(grouped.values())}
    numbers = sorted({number for several in rows.values() for number in several}, reverse=True)
    return [
        (number, [size for size, reads in grouped.items() if number in rows[reads]])
        for number in numbers
    ]


def _row_sizes(reads: Reduction) -> list[int]:
    """The fewest rows for each pair of numbers of folds and of banks."""
    fewest: dict[tuple[int, int], int] = {}
    for rows in range(1, reads.length + 1):
        fewest.setdefault((reads.folds(rows), reads.banks(rows)), rows)
    return list(fewest.values())


def _column_sizes(work: Workload, packed: int) -> list[int]:
    """Numbers of columns without idle ones; the filters of a channel are side by side."""
    if not work.multiplicity:
        return _fold_sizes(ceil(work.filters / packed))
    return [channels * work.multiplicity for channels in _fold_sizes(work.channels)]


def _fold_sizes(length: int) -> list[int]:
    """Smallest sizes that cover `length` in each number of folds."""
    return sorted({ceil(length / folds) for folds in range(1, length + 1)})
