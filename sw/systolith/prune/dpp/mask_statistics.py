"""Confidence and diversity of mask logits."""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

__all__ = ["MaskStatistics", "mask_statistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskStatistics:
    """Confidence and diversity of one layer's mask logits.

    Parameters
    ----------
    confidence : float
        0..1; 1 if no row spreads its probability over more than k elements.
    diversity : float
        0..1; 0 if all rows prefer the same elements, so that the others can be removed from the
        layer; 1 if all rows differ.
    """

    confidence: float
    diversity: float


def mask_statistics(logits: Tensor, k: int) -> MaskStatistics:
    """Measure the distributions ``p_j = softmax(logits_j)`` of J rows that each keep k of n.

    Confidence is ``1 - mean_j (H(p_j) - log k) / (log n - log k)``, clamped to 0..1; 1 for k = n.
    Diversity is the generalized Jensen-Shannon divergence ``H(mean_j p_j) - mean_j H(p_j)``,
    divided by its largest value, ``log min(J, n)``; 0 for a single row.

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
    probabilities = torch.softmax(logits.detach().double(), dim=1)
    rows, n = probabilities.shape
    mean_entropy = float(_entropy(probabilities).mean())
    confidence = 1.0
    if k < n:
        confidence = min(max(1 - (mean_entropy - log(k)) / (log(n) - log(k)), 0.0), 1.0)
    diversity = 0.0
    if min(rows, n) > 1:
        entropy_of_mean = float(_entropy(probabilities.mean(0, keepdim=True)))
        divergence = entropy_of_mean - mean_entropy
        diversity = min(max(divergence / log(min(rows, n)), 0.0), 1.0)
    return MaskStatistics(confidence=confidence, diversity=diversity)


def _entropy(probabilities: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(probabilities).sum(1)
    return entropy
