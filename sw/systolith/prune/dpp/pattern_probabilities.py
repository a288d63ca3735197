"""Probabilities of the patterns of all layers, learned within a budget of their expected cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from systolith.prune.dpp.gumbel import draw_gumbel_noise

__all__ = ["PatternProbabilities"]

DOUBLINGS, HALVINGS = 40, 40


class PatternProbabilities:
    """Probabilities p of P patterns for L layers, with an expected cost of at most `limit`.

    Each step gives scores s: the estimated effect of every pattern on the loss. The cost enters the
    loss as ``price * (sum_lq p_lq c_lq - limit)``. The price is the least multiplier that keeps the
    limit, 0 if the limit is kept anyway. The probabilities follow the gradient on the simplex::

        worth = -losses - sum_t s_t / sqrt(sum_t mean(s_t ** 2))
        p_l = softmax(worth_l - price * c_l)

    with the scores of each layer centred. There is no learning rate: worth is measured in standard
    deviations of its noise, and grows with the square root of the number of steps if the scores
    agree. Prior losses count as at most one such deviation; before the first step, only they count.

    Parameters
    ----------
    costs : sequence of L sequences of float
        Cost of each pattern of each layer, at least 0. Numbers of patterns may differ by layer.
    losses : sequence of L sequences of float
        Prior estimate of the loss by each pattern, 0..1.
    limit : float
        Highest expected cost; at least the sum of the cheapest patterns' costs.

    Notes
    -----
    Follow-the-regularized-leader with the entropy, scaled as in Orabona, Pál: Scale-free online
    learning (Theoretical Computer Science, 2018).

    **Deviation:** all layers share one scale, so that their losses can be compared; and the
    probabilities are projected onto those within the limit.
    """

    def __init__(
        self,
        costs: Sequence[Sequence[float]],
        losses: Sequence[Sequence[float]],
        limit: float,
    ) -> None:
        shape = len(costs), max(map(len, costs), default=1)
        self._exists = torch.zeros(shape, dtype=torch.bool)
        self._costs = torch.zeros(shape, dtype=torch.float64)
        self._losses = torch.zeros_like(self._costs)
        for layer, (cost, loss) in enumerate(zip(costs, losses, strict=True)):
            self._exists[layer, : len(cost)] = True
            self._costs[layer, : len(cost)] = torch.tensor(cost, dtype=torch.float64)
            self._losses[layer, : len(cost)] = torch.tensor(loss, dtype=torch.float64)
        most = float(self._costs.amax(1).sum()) or 1.0
        self._costs /= most
        self._limit = limit / most
        self._sums = torch.zeros_like(self._costs)
        self._square = torch.zeros((), dtype=torch.float64)

    @property
    def worth(self) -> Tensor:
        """Worth of each pattern without its cost, float64 (L, P); -inf without a pattern."""
        scale = self._square.sqrt().clamp_min(torch.finfo(torch.float64).tiny)
        return (-self._losses - self._sums / scale).masked_fill(~self._exists, -torch.inf)

    @property
    def price(self) -> float:
        """The least multiplier, at least 0, that keeps the limit; for relative costs."""
        worth = self.worth
        if self._expected(worth, 0.0) <= self._limit:
            return 0.0
        high = 1.0
        for _ in range(DOUBLINGS):
            if self._expected(worth, high) <= self._limit:
                break
            high *= 2
        low = 0.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if self._expected(worth, middle) <= self._limit:
                high = middle
            else:
                low = middle
        return high

    def probabilities(self) -> Tensor:
        """Return the probability of each pattern, float64 (L, P); rows add up to 1."""
        return self._probabilities(self.worth, self.price)

    def draw(self, generator: Generator) -> list[int]:
        """Draw one pattern for each layer."""
        logits = self.probabilities().log()
        drawn: list[int] = (logits + draw_gumbel_noise(logits, generator)).argmax(1).tolist()
        return drawn

    def learn_(self, scores: Sequence[Sequence[float]]) -> None:
        """Add the scores of one step; only their differences within a layer matter."""
        for layer, layer_scores in enumerate(scores):
            score = torch.tensor(layer_scores, dtype=torch.float64)
            score -= score.mean()
            self._sums[layer, : len(layer_scores)] += score
            self._square += score.square().mean() / len(scores)

    def state_dict(self) -> dict[str, Any]:
        """Return prior losses and sums of scores."""
        return {
            "losses": self._losses.clone(),
            "limit": self._limit,
            "sums": self._sums.clone(),
            "square": self._square.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state."""
        self._losses.copy_(state["losses"])
        self._limit = state["limit"]
        self._sums.copy_(state["sums"])
        self._square.copy_(state["square"])

    def _probabilities(self, worth: Tensor, price: float) -> Tensor:
        return (worth - price * self._costs).softmax(1)

    def _expected(self, worth: Tensor, price: float) -> float:
        """Return the expected cost, relative to the largest."""
        return float((self._probabilities(worth, price) * self._costs).sum())
