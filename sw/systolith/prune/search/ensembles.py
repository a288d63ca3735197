"""Scores of filters from an ensemble of randomly masked networks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil

import torch
from torch import Generator, Tensor

from systolith.prune.errors import PruneError
from systolith.prune.search.additive import AdditiveModel, fit_additive_model

__all__ = [
    "DROPPED",
    "EnsembleScores",
    "FilterLosses",
    "LinearFilterEnsemble",
    "sample_filter_masks",
]

DROPPED = 2
"""Units that a mask drops on average."""

FilterLosses = Callable[[Mapping[str, Tensor]], Tensor]
"""Function from masks by group, bool, shape (P, size), to losses of P masked networks, shape (P,).

Groups that are not named stay whole. :class:`GateEvaluator` is such a function; a quantized or
simulated network can be evaluated instead.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnsembleScores(Mapping[str, Tensor]):
    """Scores by group, and how far they can be trusted.

    Parameters
    ----------
    by_group : mapping of str to Tensor of float64, shape (size,)
        On the CPU. The network needs units with high scores most; removed units have minus
        infinity.
    held_out : float
        :attr:`AdditiveModel.held_out` of the ensemble; of several, the lowest.
    median_loss : float
        Median of the masked networks' losses; of several ensembles, the highest.
    """

    by_group: Mapping[str, Tensor]
    held_out: float
    median_loss: float

    def __getitem__(self, group: str) -> Tensor:
        return self.by_group[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_group)

    def __len__(self) -> int:
        return len(self.by_group)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFilterEnsemble:
    """Scores filters by how much each one reduces the loss, in an ensemble of masked networks.

    Masks ``m_ij`` of the units (tied filters share a bit), each kept with probability `keep`, give
    losses ``l_i``. In the linear additive model ``log l_i ~ w_0 + sum_j w_j m_ij``, the score of
    unit j is ``-w_j``; units with the lowest scores are removed first.

    Parameters
    ----------
    keep : float, optional
        Share of units in a mask, between 0 and 1. By default, masks drop :data:`DROPPED` units on
        average, but at most half of them: masks that drop many break the network, and their losses
        say little about single filters.
    per_unit : float
        Number of masks per unit; at least 1, better 3 to 5.
    ridge : float, optional
        Penalty, at least 0; by default, cross-validation chooses it: see
        :func:`fit_additive_model`.
    log : bool
        Fit logarithms of the losses, if all are positive; otherwise the losses themselves, as in
        the paper. Losses of masked networks are skewed: a few masks that break the network would
        decide the fit.
    per_layer : bool
        Use one ensemble per group, with all other groups whole; scores are then comparable within
        a group only. Otherwise one ensemble masks all groups.

    Raises
    ------
    PruneError
        If a number is out of range; all problems are listed.

    Notes
    -----
    Sandor, Pavel, Csato: Pruning CNN's with linear filter ensembles (ECAI 2020; arXiv 2001.08142).

    **Deviation:** logarithms of losses; ridge regression; each unit is dropped in equally many
    masks; a mask never leaves a group without filters.
    """

    keep: float | None = None
    per_unit: float = 5.0
    ridge: float | None = None
    log: bool = True
    per_layer: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.keep is not None and not 0 < self.keep < 1:
            problems.append(f"keep must lie between 0 and 1, got {self.keep}")
        if not self.per_unit >= 1:
            problems.append(
                "an ensemble needs at least 1 masked network for each unit, better 3 to 5, "
                f"got per_unit={self.per_unit}"
            )
        if self.ridge is not None and not self.ridge >= 0:
            problems.append(f"ridge must be at least 0, got {self.ridge}")
        PruneError.raise_if_any(problems)

    def scores(
        self, losses: FilterLosses, kept: Mapping[str, Tensor], seed: int = 0
    ) -> EnsembleScores:
        """Score the remaining units.

        Parameters
        ----------
        losses : callable
            Evaluates masked networks: see :data:`FilterLosses`.
        kept : mapping of str to Tensor of bool, shape (size,)
            Remaining units by group; the others are always masked.
        seed : int
            Seed of the masks.

        Raises
        ------
        PruneError
            If no units remain, or losses are not one finite number per network.
        """
        PruneError.raise_if_any(_problems(kept))
        generator = torch.Generator().manual_seed(seed)
        alive = {group: mask.cpu() for group, mask in kept.items()}
        parts = [[group] for group in alive] if self.per_layer else [list(alive)]
        scores = {
            group: torch.full(mask.shape, -torch.inf, dtype=torch.float64)
            for group, mask in alive.items()
        }
        held_out: list[float] = []
        medians: list[float] = []
        for part in parts:
            fitted, measured = self._fit(losses, {name: alive[name] for name in part}, generator)
            counts = [int(alive[group].sum()) for group in part]
            worth = torch.split(-fitted.coefficients, counts)
            for group, here in zip(part, worth, strict=True):
                scores[group][alive[group]] = here
            held_out.append(fitted.held_out)
            medians.append(float(measured.median()))
        lowest = float(torch.tensor(held_out).min())  # NaN if any is
        return EnsembleScores(by_group=scores, held_out=lowest, median_loss=max(medians))

    def share(self, units: int) -> float:
        """Share of this number of units that a mask keeps."""
        return max(1 - DROPPED / units, 0.5) if self.keep is None else self.keep

    def _fit(
        self, losses: FilterLosses, kept: Mapping[str, Tensor], generator: Generator
    ) -> tuple[AdditiveModel, Tensor]:
        units = sum(int(mask.sum()) for mask in kept.values())
        members = ceil(self.per_unit * units)
        masks = sample_filter_masks(kept, members, self.share(units), generator)
        measured = losses(masks)
        bits = torch.cat([masks[group][:, kept[group]] for group in kept], dim=1)
        target = measured.log() if self.log and bool((measured > 0).all()) else measured
        return fit_additive_model(bits, target, self.ridge), measured


def sample_filter_masks(
    kept: Mapping[str, Tensor], members: int, keep: float, generator: Generator
) -> dict[str, Tensor]:
    """Draw masks of an ensemble; every group keeps at least one unit.

    Each unit is dropped in the same number of masks, the nearest to ``N (1 - keep)``, at least 1;
    which ones is drawn for each unit independently.

    Parameters
    ----------
    kept : mapping of str to Tensor of bool, shape (size,)
        Units that may be drawn, at least one of each group.
    members : int
        N, at least 1.
    keep : float
        Share of masks that keep a unit.
    generator : torch.Generator

    Returns
    -------
    dict of str to Tensor of bool, shape (N, size)
    """
    masks = {}
    dropped = max(1, round(members * (1 - keep)))
    for group, mask in kept.items():
        drawn = torch.rand(members, len(mask), generator=generator)
        ranks = drawn.argsort(dim=0, stable=True).argsort(dim=0)
        chosen = (ranks < members - dropped) & mask
        lowest = drawn.masked_fill(~mask, torch.inf).argmin(1)
        masks[group] = chosen.scatter(1, lowest[:, None], True)
    return masks


def _problems(kept: Mapping[str, Tensor]) -> Iterator[str]:
    if not kept:
        yield "an ensemble needs at least one group of filters, got none"
    for group, mask in kept.items():
        if mask.dtype != torch.bool or mask.ndim != 1:
            given = f"{mask.dtype} of shape {tuple(mask.shape)}"
            yield f"kept units of group '{group}' must be bool of shape (size,), got {given}"
        elif not mask.any():
            yield f"an ensemble needs at least one unit in group '{group}', got none"
