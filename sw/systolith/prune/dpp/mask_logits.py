"""Trained probabilities: each row of logits draws k out of n for every mini-batch."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from systolith.prune.dpp.gumbel import draw_gumbel_noise, draw_top_k, relaxed_gradient
from systolith.prune.dpp.mask_statistics import MaskStatistics, mask_statistics

__all__ = ["Annealing", "MaskLogits"]

INITIAL_DEVIATION = 0.5
TRAVEL = 6.0
"""Of logits by default: several times the distances between initial ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annealing:
    """Temperature of the relaxation during training, and the end of drawing.

    Parameters
    ----------
    temperature : pair of float
        Temperature at the start and at the end of drawing, linear in between; positive.
    draw_until : float
        Progress, 0..1, after which masks are no longer drawn.
    """

    temperature: tuple[float, float]
    draw_until: float

    def problems(self) -> Iterator[str]:
        """Yield each parameter that is out of range."""
        if min(self.temperature) <= 0:
            yield f"temperature must be positive, got {self.temperature}"
        if not 0 <= self.draw_until <= 1:
            yield f"draw_until must lie in 0..1, got {self.draw_until}"

    def draws_at(self, progress: float) -> bool:
        """Whether masks are drawn."""
        return progress < self.draw_until

    def temperature_at(self, progress: float) -> float:
        """Temperature while masks are drawn."""
        first, last = self.temperature
        return first + (last - first) * progress / self.draw_until


class MaskLogits:
    """J rows of n logits phi; masks keep the k largest of ``phi + noise * G`` of each row.

    Parameters
    ----------
    read : Tensor of bool, shape (J, n)
        True for elements that can be kept. Each row has the same number of them, at least k, or
        none. Rows without any are drawn like the others, but the draws have no effect.
    k : int
        1..n; may be changed between draws.
    noise : float
        Scale of the standard Gumbel noise G.
    entropy : float
        Weight of ``sum_j H(softmax(phi_j))`` in the loss.

    Attributes
    ----------
    parameter : nn.Parameter of float32, shape (J, n)
        On the device of `read`.
    """

    def __init__(self, read: Tensor, k: int, *, noise: float, entropy: float) -> None:
        self.k = k
        self.parameter = nn.Parameter(torch.zeros(read.shape, device=read.device))
        self._read = None if bool(read.all()) else read
        self._noise, self._entropy = noise, entropy
        self._noisy: Tensor | None = None
        self._order: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """The logits, detached from autograd."""
        return self.parameter.detach()

    def start_(self, generator: Generator, scores: Tensor | None = None) -> None:
        """Set the logits: normal with deviation 0.5, or scores, (J, n), standardized to it."""
        if scores is None:
            start = torch.randn(self.parameter.shape, generator=generator)
        else:
            start = scores.detach().float()
            there = start if self._read is None else start[self._read]
            start = (start - there.mean()) / there.std(correction=0).clamp_min(1e-12)
        self.value.copy_(start * INITIAL_DEVIATION)

    def draw_mask(self, generator: Generator) -> Tensor:
        """Draw a mask, bool (J, n), with exactly k ones in each row."""
        noise = draw_gumbel_noise(self.value, generator)
        self._noisy = self._competing(self.value + self._noise * noise)
        self._order = draw_top_k(self._noisy, self._noisy.shape[1])
        return self.mask_for(self.k)

    def mask_for(self, k: int) -> Tensor:
        """Return the mask, bool (J, n), of the latest draw for another k; masks are nested."""
        assert self._order is not None, "draw_mask comes first"
        return self._mask(self._order[:, :k])

    def final_mask(self) -> Tensor:
        """Return the mask without noise, bool (J, n)."""
        return self._mask(draw_top_k(self._competing(self.value), self.k))

    def learn_(self, gradient: Tensor, temperature: float) -> None:
        """Add to the gradient of the logits; their optimizer does the rest.

        Parameters
        ----------
        gradient : Tensor of float, shape (J, n)
            Gradient at the mask of the latest draw.
        temperature : float
        """
        assert self._noisy is not None and self._order is not None, "draw_mask comes first"
        drawn = self._order[:, : self.k]
        at_logits = relaxed_gradient(self._noisy, drawn, gradient, temperature)
        if self._entropy:
            at_logits += self._entropy * _entropy_gradient(self._competing(self.value))
        earlier = self.parameter.grad
        self.parameter.grad = at_logits if earlier is None else earlier + at_logits

    def statistics(self) -> MaskStatistics:
        """Return confidence and diversity of the rows."""
        logits = self.value
        if self._read is not None:
            rows = self._read.any(1)
            logits = logits[rows][self._read[rows]].reshape(int(rows.sum()), -1)
        return mask_statistics(logits, self.k)

    def _competing(self, values: Tensor) -> Tensor:
        if self._read is None:
            return values
        return values.masked_fill(~self._read, torch.finfo(values.dtype).min / 4)

    def _mask(self, drawn: Tensor) -> Tensor:
        return torch.zeros_like(self.value, dtype=torch.bool).scatter_(1, drawn, True)


def _entropy_gradient(logits: Tensor) -> Tensor:
    """Gradient of ``sum_j H(softmax(logits_j))``: ``-p (log p + H)``."""
    log_p = torch.log_softmax(logits, dim=1)
    p = log_p.exp()
    weighted = torch.where(p > 0, p * log_p, 0.0)
    gradient: Tensor = p * weighted.sum(1, keepdim=True) - weighted
    return gradient
