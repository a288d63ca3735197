"""The linear additive model of a loss: the contribution of each unit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from systolith.prune.errors import PruneError

__all__ = ["RIDGES", "AdditiveModel", "fit_additive_model"]

RIDGES = tuple(2.0**power for power in range(8, -13, -1))
"""Penalties to choose from, relative to ``N p (1 - p)``."""
FLAT = 1e-10
"""What is smaller, relative to the largest, is a rounding error."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdditiveModel:
    """``loss(m) ~ intercept + sum_j coefficients[j] * m[j]``.

    Parameters
    ----------
    intercept : float
        Expected loss without any unit.
    coefficients : Tensor of float64, shape (F,)
        Contribution of each unit to the loss; negative for a unit that the network needs.
    explained : float
        Share of the variance of the losses that the model explains (R squared); 1 if all losses are
        equal. It is high by construction unless there are many more masks than units.
    held_out : float
        The same share, of losses that are predicted from the other masks alone: 0 or less if the
        model knows no more than the mean, so that its ranking is noise. NaN if the other masks do
        not determine a prediction.
    ridge : float
        Penalty of the fit.
    """

    intercept: float
    coefficients: Tensor
    explained: float
    held_out: float
    ridge: float


def fit_additive_model(masks: Tensor, losses: Tensor, ridge: float | None = None) -> AdditiveModel:
    """Fit by ridge regression, in closed form; the intercept is not penalised.

    With Mc and lc the masks and losses less their means, the coefficients are
    ``(Mc^T Mc + ridge I)^-1 Mc^T lc``; without ridge, the solution of least norm.

    Parameters
    ----------
    masks : Tensor of bool, shape (N, F)
        Masks of N networks with F units.
    losses : Tensor of float, shape (N,)
    ridge : float, optional
        At least 0. By default, the penalty of :data:`RIDGES` times ``N p (1 - p)``, for masks that
        keep a share p, that predicts each loss best from the other masks (leave-one-out
        cross-validation, in closed form); the strongest, if several are equal.

    Returns
    -------
    AdditiveModel
        On the CPU.

    Raises
    ------
    PruneError
        If shapes or numbers do not fit, a loss is not finite, or there are fewer masks than units,
        so that coefficients are undetermined; all problems are listed.

    Notes
    -----
    Sandor, Pavel, Csato: Pruning CNN's with linear filter ensembles (ECAI 2020).

    Examples
    --------
    >>> masks = torch.tensor([[True, False], [False, True], [True, True]])
    >>> fit_additive_model(masks, torch.tensor([1.0, 3.0, 0.0]), ridge=0.0).coefficients.round()
    tensor([-3., -1.], dtype=torch.float64)
    """
    PruneError.raise_if_any(_problems(masks, losses, ridge))
    design, target = masks.cpu().double(), losses.detach().cpu().double()
    means, mean = design.mean(0), target.mean()
    centred, rest = design - means, target - mean
    axes = _Axes.of(centred)
    if ridge is None:
        ridges = [axes.mean_square * ratio for ratio in RIDGES]
        errors = [float(axes.held_out_errors(rest, ridge).square().sum()) for ridge in ridges]
        ridge = ridges[errors.index(min(errors))]
    if ridge > 0:
        coefficients = axes.solve(rest, ridge)
    else:
        solved = torch.linalg.lstsq(centred, rest[:, None], driver="gelsd")
        coefficients = solved.solution[:, 0]
    unexplained = rest - centred @ coefficients
    count = len(rest)
    return AdditiveModel(
        intercept=float(mean - means @ coefficients),
        coefficients=coefficients,
        explained=_explained(unexplained, rest),
        held_out=_explained(axes.held_out_errors(rest, ridge), rest * count / max(count - 1, 1)),
        ridge=ridge,
    )


def _explained(unexplained: Tensor, rest: Tensor) -> float:
    """Share of a sum of squares that is explained."""
    spread = float(rest.square().sum())
    return 1 - float(unexplained.square().sum()) / spread if spread > 0 else 1.0


@dataclass(frozen=True, slots=True)
class _Axes:
    """Principal axes of centred masks, so that every penalty costs little."""

    squares: Tensor
    """Sums of squares along the axes, shape (F,)."""
    vectors: Tensor
    """Axes as columns, shape (F, F)."""
    scores: Tensor
    """Masks along the axes, shape (N, F)."""

    @staticmethod
    def of(centred: Tensor) -> "_Axes":
        squares, vectors = torch.linalg.eigh(centred.T @ centred)
        squares = squares.clamp(min=0)
        vectors = vectors[:, squares > FLAT * squares.max()]
        return _Axes((centred @ vectors).square().sum(0), vectors, centred @ vectors)

    @property
    def mean_square(self) -> float:
        """``N p (1 - p)``, averaged over units; 1 if all masks are equal."""
        return float(self.squares.sum()) / len(self.vectors) or 1.0

    def solve(self, rest: Tensor, ridge: float) -> Tensor:
        """Coefficients, shape (F,), for centred losses, shape (N,)."""
        along: Tensor = (self.scores.T @ rest) / (self.squares + ridge)
        return self.vectors @ along

    def held_out_errors(self, rest: Tensor, ridge: float) -> Tensor:
        """Errors, shape (N,), if each loss is predicted from all others; NaN if undetermined."""
        weights = self.squares + ridge
        errors = rest - self.scores @ ((self.scores.T @ rest) / weights)
        # Sherman-Morrison: without row i, its error grows by 1 / (1 - h), h its own leverage.
        left = 1 - 1 / len(rest) - (self.scores.square() / weights).sum(1)
        return errors / torch.where(left > FLAT, left, torch.nan)


def _problems(masks: Tensor, losses: Tensor, ridge: float | None) -> list[str]:
    problems = []
    if masks.ndim != 2 or losses.shape != masks.shape[:1]:
        problems.append(
            "an additive model needs masks of shape (N, F) and losses of shape (N,), "
            f"got {tuple(masks.shape)} and {tuple(losses.shape)}"
        )
    elif len(masks) < masks.shape[1]:
        problems.append(
            f"an additive model of {masks.shape[1]} units needs at least as many masked networks, "
            f"better 2 to 5 times as many, got {len(masks)}"
        )
    if not losses.isfinite().all():
        problems.append(
            f"an additive model needs finite losses, got {losses[~losses.isfinite()][0].item()}"
        )
    if ridge is not None and not ridge >= 0:
        problems.append(f"ridge must be at least 0, got {ridge}")
    return problems
