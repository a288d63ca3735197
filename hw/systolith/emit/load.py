"""Parameters for an existing reloadable design: the bytes that a host sends to its load chain."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from systolith.gateware import (
    AddContents,
    ConvContents,
    ParameterTable,
    RequantizedContents,
    TableContents,
)
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    Linear,
    Multiply,
    Pattern,
    Requantize,
    Strided,
    Table,
)
from systolith.plan import (
    AddPlan,
    ConvPlan,
    EnginePlan,
    MultiplyPlan,
    NetworkPlan,
    PlanError,
    PoolPlan,
    TablePlan,
    scale_bits,
    threshold_bits,
    workload_of,
)

__all__ = ["load_bytes"]

LOADED = ("weight", "bias", "mask", "multipliers", "values")
"""Fields of layers that a load may change. Parts of patterns and requantization may change too."""


def load_bytes(plan: NetworkPlan, network: IntegerNetwork) -> bytes:
    """Lay out the parameters of a network for a design of a similar network.

    Parameters
    ----------
    plan : NetworkPlan
        Plan of the design; reloadable.
    network : IntegerNetwork
        Must have the same layers, shapes, types, patterns, rounding and clamps. Weights, masks,
        biases, multipliers, shifts and offsets may differ; offsets need a design with offsets.

    Returns
    -------
    bytes
        Contents of all memories in the order of the chain.

    Raises
    ------
    PlanError
        With every difference between the networks and every parameter that does not fit.
    """
    if not plan.reloadable:
        raise PlanError(["the design cannot be loaded: it was not planned as reloadable"])
    if problems := list(_list_differences(plan.network, network)):
        raise PlanError(problems)
    tables: list[ParameterTable] = []
    for engine in plan.engines:
        try:
            tables += _tables(engine, plan.network, network)
        except ValueError as error:
            problems.append(f"layer '{engine.name}': {error}")
    if problems:
        raise PlanError(problems)
    return b"".join(table.to_bytes() for table in tables)


def _tables(
    engine: EnginePlan, design: IntegerNetwork, network: IntegerNetwork
) -> Iterator[ParameterTable]:
    layer = network[engine.name]
    # The requantizers are those of the design, not those that this network would get.
    match engine:
        case ConvPlan():
            assert isinstance(layer, Conv2d | Linear)
            own = design[engine.name]
            assert isinstance(own, Conv2d | Linear)
            requantizer = ConvContents.of(engine, own, loadable=True).requantizer
            contents = ConvContents.of(
                _with_taps(engine, network, layer), layer, loadable=True, requantizer=requantizer
            )
            yield from contents.chain(engine)
        case AddPlan():
            addition = design[engine.name]
            assert isinstance(layer, Add) and isinstance(addition, Add)
            requantizer = AddContents.of(engine, addition, loadable=True).requantizer
            sums = AddContents.of(engine, layer, loadable=True, requantizer=requantizer)
            yield from sums.chain()
        case PoolPlan() if isinstance(layer, AvgPool2d):
            pool = design[engine.name]
            assert isinstance(pool, AvgPool2d)
            requantizer = RequantizedContents.of(engine, pool, loadable=True).requantizer
            means = RequantizedContents.of(engine, layer, loadable=True, requantizer=requantizer)
            yield from means.chain()
        case MultiplyPlan():
            factor = design[engine.name]
            assert isinstance(layer, Multiply) and isinstance(factor, Multiply)
            requantizer = RequantizedContents.of(engine, factor, loadable=True).requantizer
            products = RequantizedContents.of(engine, layer, loadable=True, requantizer=requantizer)
            yield from products.chain()
        case TablePlan():
            assert isinstance(layer, Table)
            yield from TableContents.of(engine, layer).chain()


def _with_taps(engine: ConvPlan, network: IntegerNetwork, layer: Conv2d | Linear) -> ConvPlan:
    """Return the engine with the taps that a layer keeps, if the design can load taps."""
    if not engine.skips_taps:
        return engine
    rows, reads = engine.array.rows, workload_of(network, layer).on(engine.array).reads
    if reads.folds(rows) != engine.folds:
        raise ValueError(
            f"the taps that are kept must take {engine.folds} steps on {rows} rows, "
            f"but these take {reads.folds(rows)}"
        )
    return replace(engine, reads=reads)


def _list_differences(first: IntegerNetwork, second: IntegerNetwork) -> Iterator[str]:
    """List the differences between two networks, except in parameters."""
    if first.input != second.input:
        yield f"input: the design takes {first.input}, got {second.input}"
    if first.outputs != second.outputs:
        yield f"outputs: the design has {first.outputs}, got {second.outputs}"
    names = [layer.name for layer in first.layers]
    if names != (others := [layer.name for layer in second.layers]):
        yield f"layers: the design has {', '.join(names)}, got {', '.join(others)}"
        return
    for old, new in zip(first.layers, second.layers, strict=True):
        if type(old) is not type(new):
            kinds = f"a {type(old).__name__}, got a {type(new).__name__}"
            yield f"layer '{old.name}': the design has {kinds}"
            continue
        for field in fields(old):
            if field.name in LOADED:
                continue
            wanted, given = (_fixed(getattr(layer, field.name)) for layer in (old, new))
            if wanted != given:
                yield (
                    f"layer '{old.name}': {field.name} of the design is {_say(wanted)}, "
                    f"got {_say(given)}"
                )
        if isinstance(old, Conv2d | Linear) and isinstance(new, Conv2d | Linear):
            if (shape := old.weight.shape) != (given := new.weight.shape):
                yield f"layer '{old.name}': weights of the design have shape {shape}, got {given}"


def _fixed(value: Any) -> Any:
    """Return the part of a field that a load cannot change."""
    match value:
        case Requantize():
            kind = "multiplier" if scale_bits(value) else "power of two"
            if value.negative is not None:
                kind = "multipliers by sign"
            if bits := threshold_bits(value):
                kind = f"thresholds of {bits} bits"
            return kind, value.rounding.name, value.overflow.name, value.clamp
        case Pattern():
            taps = value.taps
            return value.select, taps.stride if isinstance(taps, Strided) else taps
        case _:
            return value


def _say(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
