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
    rows, kept = table[order], np.zeros(len(order), dtype=np.bool_)
    _find_kept(rows, kept, np.empty_like(rows))
    front: list[int] = order[kept].tolist()
    return front


@jit
def _find_kept(rows: NDArray[np.int64], kept: NDArray[np.bool_], front: NDArray[np.int64]) -> None:
    """Mark each row that no earlier row is at most as large as in every place; rows ascend.

    `kept` is all False at first; `front`, as large as `rows`, gets the marked rows.
    """
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
            for place in range(rows.shape[1]):
                front[size, place] = rows[number, place]
            size += 1
