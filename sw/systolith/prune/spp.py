"""Structured probabilistic pruning: columns of the lowered weights, by odds that ranks move."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from systolith.network import Dense, Granularity, KOutOfN, Pattern, PerNeuron
from systolith.prune.errors import PruneError
from systolith.prune.masks import MaskSet
from systolith.prune.rules import check_patterns, prunable_layers
from systolith.prune.topk import topk_mask, weight_shape

__all__ = ["SPP", "spp_increment"]

STEEPNESS = 4.0


def spp_increment(rank: Tensor, prune: int, most: float) -> Tensor:
    """Change of the pruning probability of units by rank, the least important having rank 0.

    Falls exponentially from `most` at rank 0 to 0 at rank `prune`, the number that shall go, and on
    in a mirrored curve, to ``-most`` where there is room:

    ``delta(r) = most exp(-a r)`` - offset for ``r < prune``; ``-delta(2 prune - 1 - r)`` behind,

    with ``a = 4 / prune`` and the offset that makes ``delta(prune) = 0``.

    Parameters
    ----------
    rank : Tensor of int64, any shape
    prune : int
        At least 1.
    most : float
        Positive.

    Returns
    -------
    Tensor of float64, shape of rank
        Positive below `prune`, negative from there on.
    """

    def curve(r: Tensor) -> Tensor:
        end = torch.exp(torch.tensor(-STEEPNESS, dtype=torch.float64))
        return most * (torch.exp(-STEEPNESS * r.double() / prune) - end) / (1 - end)

    mirrored = (2 * prune - 1 - rank).clamp_min(0)
    return torch.where(rank < prune, curve(rank), -curve(mirrored))


class SPP:
    """Raises and lowers, while training, the probability that columns are pruned.

    A column of the lowered weights is one input channel at one tap, read by all filters alike, so a
    pruned column leaves the GEMM. Every `interval` steps, columns are ranked by their L1 norm;
    ranks are averaged over time; the probability of each changes by :func:`spp_increment`, within 0..1.
    Each step draws its mask from the probabilities; a column that reached 1 stays pruned. When
    training is over, exactly k are kept: those with the lowest probability, and of equal ones the
    highest average rank.

    Parameters
    ----------
    model : nn.Module
    patterns : mapping of str to Pattern
        By layer name: ``PerNeuron(k, shared_by=F)`` or ``KOutOfN(k, n, WEIGHT, shared_by=F)`` with
        all F filters of the layer.
    interval : int
        Steps between updates.
    most : float
        Largest change of a probability per update, above 0.
    prune_until : float
        Progress, 0..1, from which on the final masks are used.
    seed : int
        Of the draws.

    Raises
    ------
    PruneError
        If a pattern does not fit, is not shared by all filters, or a number is out of range; all
        problems are listed.

    Notes
    -----
    Wang, Zhang, Wang, Hu: Structured probabilistic pruning for convolutional neural network
    acceleration (BMVC 2018).

    **Deviation:** the curve's steepness is fixed; groups of k-out-of-n columns have ranks of their
    own; what is left to decide at `prune_until` is decided at once, so that masks are exact.

    **Deviation:** masks of a step are draws, so they conform to the pattern from `prune_until` on
    only.
    """

    def __init__(
        self,
        model: nn.Module,
        patterns: Mapping[str, Pattern],
        *,
        interval: int = 20,
        most: float = 0.05,
        prune_until: float = 0.6,
        seed: int = 0,
    ) -> None:
        check_patterns(model, patterns)
        layers = prunable_layers(model)
        problems = []
        if interval < 1:
            problems.append(f"interval must be at least 1, got {interval}")
        if most <= 0:
            problems.append(f"most must be above 0, got {most}")
        if not 0 < prune_until <= 1:
            problems.append(f"prune_until must be above 0 and at most 1, got {prune_until}")
        for name, pattern in patterns.items():
            filters, shared = len(layers[name].weight), getattr(pattern.select, "shared_by", 0)
            kernel = getattr(pattern.select, "granularity", None) is Granularity.KERNEL
            if isinstance(pattern.select, Dense) or kernel or shared != filters:
                problems.append(
                    f"columns of layer '{name}' need a pattern of weights that all {filters} "
                    f"filters share, got {pattern}"
                )
        if problems:
            raise PruneError(problems)
        self._patterns = {f"{name}.weight": pattern for name, pattern in patterns.items()}
        self._interval, self._most, self._prune_until = interval, most, prune_until
        self._generator = torch.Generator().manual_seed(seed)
        self._steps = 0
        self._odds: dict[str, Tensor] = {}
        self._ranks: dict[str, Tensor] = {}
        for name, pattern in self._patterns.items():
            rows = self._rows(pattern, model.get_parameter(name))
            self._odds[name] = torch.zeros_like(rows, dtype=torch.float64)
            self._ranks[name] = torch.zeros_like(rows, dtype=torch.float64)

    def parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`Sparsifier.step`. Pruned weights get no gradient."""
        if progress >= self._prune_until:
            masks = dict(self.masks(model))
        else:
            if self._steps % self._interval == 0:
                self._update(model)
            self._steps += 1
            masks = {name: self._draw(name, model) for name in self._patterns}
        with MaskSet.trusted(masks, self._patterns).applied(model):
            yield
        for name, mask in masks.items():
            gradient = model.get_parameter(name).grad
            if gradient is not None:
                gradient.masked_fill_(~mask, 0.0)

    def masks(self, model: nn.Module) -> MaskSet:
        """Keep exactly the k columns with the lowest odds of each group."""
        masks = {}
        for name, pattern in self._patterns.items():
            weight = model.get_parameter(name)
            # Ranks are below the number of columns, so they only break ties of probabilities.
            tie = self._ranks[name] / (self._ranks[name].shape[-1] * 1e6)
            norms = self._rows(pattern, weight) * 1e-15
            score = self._spread(name, -self._odds[name] + tie + norms, weight)
            masks[name] = topk_mask(score, pattern)
        return MaskSet.trusted(masks, self._patterns)

    def probabilities(self) -> dict[str, Tensor]:
        """Odds of being pruned by parameter name, float64, shape (groups, columns)."""
        return {name: odds.clone() for name, odds in self._odds.items()}

    def state_dict(self) -> dict[str, Any]:
        """Odds, average ranks, steps, and the state of the random generator."""
        return {
            "odds": {name: value.clone() for name, value in self._odds.items()},
            "ranks": {name: value.clone() for name, value in self._ranks.items()},
            "steps": self._steps,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state, with identical results."""
        self._odds = {name: value.clone() for name, value in state["odds"].items()}
        self._ranks = {name: value.clone() for name, value in state["ranks"].items()}
        self._steps = state["steps"]
        self._generator.set_state(state["generator"])

    def _update(self, model: nn.Module) -> None:
        updates = self._steps // self._interval
        for name, pattern in self._patterns.items():
            norms = self._rows(pattern, model.get_parameter(name))
            order = torch.argsort(norms, dim=-1, stable=True)
            rank = torch.empty_like(order)
            rank.scatter_(-1, order, torch.arange(order.shape[-1]).expand_as(order).to(order))
            self._ranks[name] = (self._ranks[name] * updates + rank) / (updates + 1)
            average = torch.argsort(torch.argsort(self._ranks[name], dim=-1, stable=True), dim=-1)
            prune = norms.shape[-1] - _kept(pattern)
            if prune == 0:
                continue
            gone = self._odds[name] >= 1
            moved = self._odds[name] + spp_increment(average, prune, self._most)
            self._odds[name] = torch.where(gone, 1.0, moved.clamp(0, 1))

    def _draw(self, name: str, model: nn.Module) -> Tensor:
        weight = model.get_parameter(name)
        odds = self._odds[name]
        drawn = torch.rand(odds.shape, generator=self._generator).to(odds.device) >= odds
        read = torch.from_numpy(self._patterns[name].tap_mask(weight_shape(weight)))
        kept = self._spread(name, drawn, weight)
        return kept & read.to(weight.device).expand(weight_shape(weight)).reshape(weight.shape)

    def _rows(self, pattern: Pattern, weight: Tensor) -> Tensor:
        """L1 norm of each column, shape (groups, columns); per neuron, all are one group."""
        columns = weight.detach().abs().double().reshape(weight_shape(weight)).sum(0)
        if isinstance(pattern.select, KOutOfN):
            taps = columns.shape[1] * columns.shape[2]
            groups = columns.reshape(-1, pattern.select.n, taps)
            return groups.transpose(1, 2).reshape(-1, pattern.select.n)
        return columns.reshape(1, -1)

    def _spread(self, name: str, rows: Tensor, weight: Tensor) -> Tensor:
        """Undo :meth:`_rows`, for all filters alike."""
        shape, select = weight_shape(weight), self._patterns[name].select
        if isinstance(select, KOutOfN):
            rows = rows.reshape(-1, shape[2] * shape[3], select.n).transpose(1, 2)
        return rows.reshape(1, *shape[1:]).expand(shape).reshape(weight.shape)


def _kept(pattern: Pattern) -> int:
    assert isinstance(pattern.select, KOutOfN | PerNeuron)
    return pattern.select.k
