"""An integer network as a table: layers, types, work, and the sparsity of the weights."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from rich import box

from systolith.network import Conv2d, IntegerNetwork, Layer, Linear
from systolith.report.fitting import FittedTable

__all__ = ["LayerRow", "layer_rows", "network_table"]

MOST_PATTERNS = 3
"""Largest number of conforming patterns in the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer.

    Attributes
    ----------
    name, kind : str
    output : str
        Shape and type.
    weights : str
        Shape and bits; empty without weights.
    macs : int
        Multiplications per image if no weight is skipped.
    zeros : float or None
        Share of weights that are 0; None without weights.
    pattern : str
        Pattern that the engine implements; empty without weights.
    conforms : tuple of str
        Sparsest other patterns that the weights conform to.
    """

    name: str
    kind: str
    output: str
    weights: str = ""
    macs: int = 0
    zeros: float | None = None
    pattern: str = ""
    conforms: tuple[str, ...] = ()


def layer_rows(network: IntegerNetwork) -> Iterator[LayerRow]:
    """Describe each layer of a network."""
    for layer in network.layers:
        result = network.tensors[layer.name]
        row = LayerRow(name=layer.name, kind=_kind(layer), output=str(result))
        if isinstance(layer, Conv2d | Linear):
            row = replace(
                row,
                weights=f"{'x'.join(map(str, layer.weight.shape))} int{layer.weight_bits}",
                macs=layer.weight.size * result.pixels,
                zeros=float(np.mean(layer.weight == 0)),
                pattern=str(layer.pattern),
                conforms=_find_conforming(layer),
            )
        yield row


def _kind(layer: Layer) -> str:
    if isinstance(layer, Conv2d) and layer.groups != 1:
        return "Conv2d, depthwise"
    return type(layer).__name__


def _find_conforming(layer: Conv2d | Linear) -> tuple[str, ...]:
    from systolith.exchange import detect_structures  # other tables do without ONNX

    if isinstance(layer, Conv2d) and layer.groups != 1:
        return ()
    best = islice(detect_structures(layer.weight), MOST_PATTERNS)
    patterns = (structure.pattern for structure in best)
    return tuple(
        str(pattern) for pattern in patterns if not pattern.is_dense and pattern != layer.pattern
    )


def network_table(network: IntegerNetwork) -> FittedTable:
    """Draw the layers of a network."""
    rows = list(layer_rows(network))
    table = FittedTable(
        f"{network.name}: input {network.input}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        show_footer=True,
    )
    table.add_column("layer", "all layers", wraps=True)
    table.add_column("kind", rank=2)
    table.add_column("output", rank=3)
    table.add_column("weights", rank=1)
    table.add_column("MACs", f"{sum(row.macs for row in rows):,}", justify="right")
    table.add_column("zeros", rank=4, justify="right")
    table.add_column("pattern, and others that fit", wraps=True)
    for row in rows:
        table.add_row(
            row.name,
            row.kind,
            row.output,
            row.weights,
            f"{row.macs:,}" if row.macs else "",
            "" if row.zeros is None else f"{row.zeros:.0%}",
            "\n".join([f"[bold]{row.pattern}[/]" if row.conforms else row.pattern, *row.conforms]),
            style=None if row.weights else "dim",
        )
    return table
