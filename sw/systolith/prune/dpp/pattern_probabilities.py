"""Odds of the patterns of all layers, learned under a budget of their expected cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from systolith.prune.dpp.gumbel import gumbel_noise

__all__ = ["PatternProbabilities"]

DOUBLINGS, HALVINGS = 40, 40


class PatternProbabilities:
    """Odds p of P patterns for each of L layers, whose expected cost never exceeds a limit.

    Each step says what every pattern would do to the loss: scores s. To the loss comes the cost,
    ``price * (sum_lq p_lq c_lq - limit)``, with a multiplier that is as large as the limit needs,
    and 0 if it is kept anyway. The odds follow the gradient on the simplex::

        worth = -losses - sum_t s_t / sqrt(sum_t mean(s_t ** 2))
        p_l = softmax(worth_l - price * c_l)

    with the scores of each layer centred. So no rate needs choosing: a worth is in deviations of
    its noise, and grows with the root of the number of steps if the scores agree. What was known
    beforehand counts as one such deviation, at most, and is all there is where nothing is heard.

    Parameters
    ----------
    costs : sequence of L sequences of float
        Of each pattern of each layer, at least 0; layers may have different numbers of patterns.
    losses : sequence of L sequences of float
        What is known beforehand of what is lost with each pattern, 0..1.
    limit : float
        Of the expected cost; no less than the costs of the cheapest patterns together.

    Notes
    -----
    Follow the regularized leader with the entropy, scaled as in Orabona, Pál: Scale-free online
    learning (Theoretical Computer Science, 2018).

    **Deviation:** one scale for all layers, so that what layers lose can be compared; and the odds
    are projected onto those within the limit.
    """

    def __init__(
        self,
        costs: Sequence[Sequence[float]],
        losses: Sequence[Sequence[float]],
        limit: float,
    ) -> None:
        shape = len(costs), max(map(len, costs), default=1)
        self._there = torch.zeros(shape, dtype=torch.bool)
        self._costs = torch.zeros(shape, dtype=torch.float64)
        self._losses = torch.zeros_like(self._costs)
        for layer, (cost, loss) in enumerate(zip(costs, losses, strict=True)):
            self._there[layer, : len(cost)] = True
            self._costs[layer, : len(cost)] = torch.tensor(cost, dtype=torch.float64)
            self._losses[layer, : len(cost)] = torch.tensor(loss, dtype=torch.float64)
        most = float(self._costs.amax(1).sum()) or 1.0
        self._costs /= most
        self._limit = limit / most
        self._sums = torch.zeros_like(self._costs)
        self._square = torch.zeros((), dtype=torch.float64)

    @property
    def worth(self) -> Tensor:
        """What speaks for each pattern whatever it costs, float64 (L, P); -inf where none is."""
        scale = self._square.sqrt().clamp_min(torch.finfo(torch.float64).tiny)
        return (-self._losses - self._sums / scale).masked_fill(~self._there, -torch.inf)

    @property
    def price(self) -> float:
        """The multiplier: the least, from 0, that keeps the limit; costs are shares of the most."""
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

    def odds(self) -> Tensor:
        """Probability of each pattern, float64 (L, P); rows add up to 1."""
        return self._odds(self.worth, self.price)

    def draw(self, generator: Generator) -> list[int]:
        """Draw one pattern for each layer."""
        odds = self.odds()
        drawn: list[int] = (odds.log() + gumbel_noise(odds, generator)).argmax(1).tolist()
        return drawn

    def learn_(self, scores: Sequence[Sequence[float]]) -> None:
        """Hear what each pattern would do to the loss of this step; only differences matter."""
        for layer, found in enumerate(scores):
            score = torch.tensor(found, dtype=torch.float64)
            score -= score.mean()
            self._sums[layer, : len(found)] += score
            self._square += score.square().mean() / len(scores)

    def state_dict(self) -> dict[str, Any]:
        """What was known beforehand, and what was heard."""
        return {
            "losses": self._losses.clone(),
            "limit": self._limit,
            "sums": self._sums.clone(),
            "square": self._square.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self._losses.copy_(state["losses"])
        self._limit = state["limit"]
        self._sums.copy_(state["sums"])
        self._square.copy_(state["square"])

    def _odds(self, worth: Tensor, price: float) -> Tensor:
        return (worth - price * self._costs).softmax(1)

    def _expected(self, worth: Tensor, price: float) -> float:
        """Cost to expect, relative to the largest."""
        return float((self._odds(worth, price) * self._costs).sum())
