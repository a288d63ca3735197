"""Weights that each layer keeps, and the work they make."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from systolith.network import Conv2d, IntegerNetwork, Linear

__all__ = ["SparsityRow", "dense_macs", "sparsity_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsityRow:
    """Weights of one layer: how many are kept of how many.

    Attributes
    ----------
    name : str
    pattern : str
        And what is left of filters and input channels, if some were removed.
    kept, total : int
        `total` counts the layer of the dense network, with filters that were removed since.
    """

    name: str
    pattern: str
    kept: int
    total: int


def sparsity_rows(
    network: IntegerNetwork, dense: Mapping[str, Sequence[int]] | None = None
) -> list[SparsityRow]:
    """Count kept weights, layer by layer.

    Parameters
    ----------
    network : IntegerNetwork
    dense : mapping of str to sequence of int, optional
        Shape of each layer's weights before filters were removed; by default as they are.
    """
    rows = []
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            shape = layer.weight.shape
            before = tuple((dense or {}).get(layer.name, shape))
            kept = layer.weight.size if layer.mask is None else int(layer.mask.sum())
            rows.append(
                SparsityRow(
                    name=layer.name,
                    pattern="; ".join([str(layer.pattern), *_removed(before, shape)]),
                    kept=kept,
                    total=prod(before),
                )
            )
    return rows


def dense_macs(network: IntegerNetwork, dense: Mapping[str, Sequence[int]]) -> int:
    """Multiplications per frame of the network before filters were removed."""
    return sum(
        prod(dense.get(layer.name, layer.weight.shape))
        * prod(network.tensors[layer.name].shape[1:])
        for layer in network.layers
        if isinstance(layer, Conv2d | Linear)
    )


def _removed(before: Sequence[int], after: Sequence[int]) -> Iterator[str]:
    """Say how many filters and inputs of a layer are left, if not all are.

    Where a convolution has several groups, `after` counts the inputs of all.
    """
    for what, of, left in zip(("filters", "inputs"), before, after, strict=False):
        if left < of:
            yield f"{left} of {of} {what}"
