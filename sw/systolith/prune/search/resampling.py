"""From losses to importance weights, and from weights to the particles that live on."""

import torch
from torch import Generator, Tensor

__all__ = ["importance_weights", "systematic_resampling"]


def importance_weights(losses: Tensor) -> Tensor:
    """Weigh particles by ``exp(-(loss - min) / std)``, normalised to a sum of 1.

    Parameters
    ----------
    losses : Tensor of float, shape (P,)
        Finite.

    Returns
    -------
    Tensor of float64, shape (P,)
        Equal weights if all losses are equal.

    Examples
    --------
    >>> importance_weights(torch.tensor([2.0, 2.0]))
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    excess = losses.double() - losses.double().min()
    std = excess.std(correction=0)
    weights = torch.exp(-excess / std) if std > 0 else torch.ones_like(excess)
    return weights / weights.sum()


def systematic_resampling(weights: Tensor, generator: Generator) -> Tensor:
    """Draw as many particles as there are, particle i ``floor(P w_i)`` or ``ceil(P w_i)`` times.

    One random number places a comb of P equally spaced teeth over the cumulative weights.

    Parameters
    ----------
    weights : Tensor of float64, shape (P,)
        Sum 1.
    generator : torch.Generator

    Returns
    -------
    Tensor of int64, shape (P,)
        Indices of the survivors, ascending.

    Notes
    -----
    Kitagawa: Monte Carlo filter and smoother for non-Gaussian nonlinear state space models (1996).
    """
    count = len(weights)
    shift = torch.rand(1, dtype=torch.float64, generator=generator)
    teeth = (torch.arange(count, dtype=torch.float64) + shift) / count
    # Rounding may leave the last sum a little below 1, and a tooth beyond it.
    return torch.searchsorted(weights.cumsum(0), teeth, right=True).clamp(max=count - 1)
