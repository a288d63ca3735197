"""Vectors that no other vector dominates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from systolith.plan.cycles.compiled import jit

__all__ = ["Vector", "find_front"]

Vector = tuple[int, ...]


def find_front(vectors: Sequence[Vector]) -> list[int]:
    """List the numbers of vectors that no other vector dominates; of equals, the first.

    Parameters
    ----------
    vectors : sequence of tuple of int
        At least one; all of one length, of at least 1.

    Returns
    -------
    list of int
        In the order of the vectors.
    """
    table: NDArray[np.int64] = np.array(vectors, dtype=np.int64)
    order = np.lexsort(table.T[::-1])
    front: list[int] = order[_is_kept(table[order])].tolist()
    return front


@jit
def _is_kept(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether no earlier row is at most as large in every place; rows ascend."""
    kept = np.zeros(len(rows), dtype=np.bool_)
    front = np.empty_like(rows)
    size = 0
    for number in range(len(rows)):
        dominated = False
        for other in range(size):
            dominated = True
            for place in range(rows.shape[1]):
                if front[other, place] > rows[number, place]:
                    dominated = False
                    break
            if dominated:
                break
        if not dominated:
            kept[number] = True
            front[size] = rows[number]
            size += 1
    return kept
