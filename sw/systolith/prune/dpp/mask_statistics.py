"""How sure mask logits are of their choice, and how different the choices of rows are."""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

__all__ = ["MaskStatistics", "mask_statistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskStatistics:
    """Of one layer's mask logits.

    Parameters
    ----------
    confidence : float
        0..1; 1 if no row spreads its probability over more than k.
    diversity : float
        0..1; 0 if all rows want the same, so that what they do not want can be dropped altogether;
        1 if all want something else.
    """

    confidence: float
    diversity: float


def mask_statistics(logits: Tensor, k: int) -> MaskStatistics:
    """Measure the distributions ``p_j = softmax(logits_j)`` of J rows that each keep k of n.

    Confidence is ``1 - mean_j (H(p_j) - log k) / (log n - log k)``, cut to 0..1, and 1 for k = n.
    Diversity is the generalised Jensen-Shannon divergence ``H(mean_j p_j) - mean_j H(p_j)`` over
    its largest value, ``log min(J, n)``; 0 for a single row.

    Parameters
    ----------
    logits : Tensor of float, shape (J, n)
    k : int
        1..n.

    Notes
    -----
    Gonzalez-Carabarin et al.: Dynamic probabilistic pruning (IEEE TNNLS 2022), its
    information-theoretic metrics.

    **Deviation:** both are scaled to 0..1.
    """
    chances = torch.softmax(logits.detach().double(), dim=1)
    rows, n = chances.shape
    each = float(_entropy(chances).mean())
    confidence = 1.0
    if k < n:
        confidence = min(max(1 - (each - log(k)) / (log(n) - log(k)), 0.0), 1.0)
    diversity = 0.0
    if min(rows, n) > 1:
        together = float(_entropy(chances.mean(0, keepdim=True)))
        diversity = min(max((together - each) / log(min(rows, n)), 0.0), 1.0)
    return MaskStatistics(confidence=confidence, diversity=diversity)


def _entropy(chances: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(chances).sum(1)
    return entropy
