"""The linear additive model of a loss: the contribution of each unit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from systolith.prune.errors import PruneError

__all__ = ["AdditiveModel", "fit_additive_model"]


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
    """

    intercept: float
    coefficients: Tensor
    explained: float


def fit_additive_model(masks: Tensor, losses: Tensor, ridge: float = 0.0) -> AdditiveModel:
    """Fit by ridge regression, in closed form; the intercept is not penalised.

    With Mc and lc the masks and losses less their means, the coefficients are
    ``(Mc^T Mc + ridge I)^-1 Mc^T lc``; without ridge, the solution of least norm.

    Parameters
    ----------
    masks : Tensor of bool, shape (N, F)
        Masks of N networks with F units.
    losses : Tensor of float, shape (N,)
    ridge : float
        At least 0; strong if it is near ``N p (1 - p)``, for masks that keep a share p.

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
    >>> fit_additive_model(masks, torch.tensor([1.0, 3.0, 0.0])).coefficients.round()
    tensor([-3., -1.], dtype=torch.float64)
    """
    PruneError.raise_if_any(_problems(masks, losses, ridge))
    design, target = masks.cpu().double(), losses.detach().cpu().double()
    means, mean = design.mean(0), target.mean()
    centred, rest = design - means, target - mean
    if ridge > 0:
        normal = centred.T @ centred + ridge * torch.eye(len(means), dtype=torch.float64)
        coefficients = torch.linalg.solve(normal, centred.T @ rest)
    else:
        solved = torch.linalg.lstsq(centred, rest[:, None], driver="gelsd")
        coefficients = solved.solution[:, 0]
    spread = float((rest**2).sum())
    unexplained = float(((rest - centred @ coefficients) ** 2).sum())
    return AdditiveModel(
        intercept=float(mean - means @ coefficients),
        coefficients=coefficients,
        explained=1 - unexplained / spread if spread > 0 else 1.0,
    )


def _problems(masks: Tensor, losses: Tensor, ridge: float) -> list[str]:
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
    if ridge < 0:
        problems.append(f"ridge must be at least 0, got {ridge}")
    return problems
