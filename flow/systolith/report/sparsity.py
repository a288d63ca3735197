"""Kept weights of each layer, and the multiplications of the dense network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from systolith.network import Conv2d, IntegerNetwork, Linear

__all__ = ["SparsityRow", "dense_macs", "sparsity_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsityRow:
    """The weights of one layer.

    Attributes
    ----------
    name : str
    pattern : str
        Pattern; and the remaining filters and input channels, if some were removed.
    kept, total : int
        `total` includes the weights of removed filters.
    """

    name: str
    pattern: str
    kept: int
    total: int


def sparsity_rows(
    network: IntegerNetwork, dense: Mapping[str, Sequence[int]] | None = None
) -> tuple[SparsityRow, ...]:
    """Count the kept weights of each layer.

    Parameters
    ----------
    network : IntegerNetwork
    dense : mapping of str to sequence of int, optional
        Shape of each layer's weights before filters were removed.
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
                    pattern="; ".join([str(layer.pattern), *_describe_removal(before, shape)]),
                    kept=kept,
                    total=prod(before),
                )
            )
    return tuple(rows)


def dense_macs(network: IntegerNetwork, dense: Mapping[str, Sequence[int]]) -> int:
    """Count the multiplications per frame of the network before filters were removed."""
    return sum(
        prod(dense.get(layer.name, layer.weight.shape)) * network.tensors[layer.name].pixels
        for layer in network.layers
        if isinstance(layer, Conv2d | Linear)
    )


def _describe_removal(before: Sequence[int], after: Sequence[int]) -> Iterator[str]:
    """Describe how many filters and inputs of a layer are left, if some were removed.

    For grouped convolutions, `after` counts the inputs of all groups.
    """
    for kind, total, left in zip(("filters", "inputs"), before, after, strict=False):
        if left < total:
            yield f"{left} of {total} {kind}"
