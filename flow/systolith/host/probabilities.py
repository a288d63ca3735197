"""Classes and probabilities of a network's outputs, as the host computes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Guess", "compute_probabilities", "rank_classes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A class.

    Attributes
    ----------
    category : int
    probability : float or None
        None if nothing says how outputs become probabilities.
    """

    category: int
    probability: float | None


def compute_probabilities(
    outputs: Sequence[int], *, scale: float, zero_point: int, end: str
) -> NDArray[np.float64]:
    """Compute the probability of each class.

    Parameters
    ----------
    outputs : sequence of int
        Logits: q stands for ``scale * (q - zero_point)``.
    scale : float
    zero_point : int
    end : str
        ``"softmax"`` or ``"sigmoid"``, as in :class:`systolith.emit.Meaning`.

    Raises
    ------
    ValueError
        If `end` is neither.
    """
    real = scale * (np.array(outputs, dtype=np.float64) - zero_point)
    match end:
        case "softmax":
            powers = np.exp(real - real.max())
            return np.asarray(powers / powers.sum())
        case "sigmoid":
            # Both branches are exact for either sign, without overflow.
            power = np.exp(-np.abs(real))
            return np.where(real >= 0, 1 / (1 + power), power / (1 + power))
        case _:
            raise ValueError(f"probabilities come from softmax or sigmoid, got {end!r}")


def rank_classes(
    outputs: Sequence[int], probabilities: Sequence[float] | None, count: int
) -> list[Guess]:
    """List the classes with the greatest outputs; of equal ones the lowest class is first."""
    order = np.argsort(-np.array(outputs), kind="stable")[:count].tolist()
    return [
        Guess(
            category=place,
            probability=None if probabilities is None else float(probabilities[place]),
        )
        for place in order
    ]
