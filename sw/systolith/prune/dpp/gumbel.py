"""Sampling of exactly k out of n without replacement, with gradients through a relaxation."""

import torch
from torch import Generator, Tensor

__all__ = ["draw_gumbel_noise", "draw_top_k", "relaxed_gradient"]

TINY = 1e-20
LEAST_EXPONENT = -600.0


def draw_gumbel_noise(like: Tensor, generator: Generator) -> Tensor:
    """Draw standard Gumbel noise, ``-log(-log u)``, shaped as `like` and on its device.

    The generator is on the CPU, so the noise does not depend on the device.
    """
    uniform = torch.rand(like.shape, generator=generator).clamp_min(TINY)
    return -torch.log((-torch.log(uniform)).clamp_min(TINY)).to(like.device)


def draw_top_k(noisy: Tensor, k: int) -> Tensor:
    """Return the indices of the k largest noisy logits of each row, the largest first.

    With standard Gumbel noise this draws without replacement with probabilities
    ``softmax(logits)`` (Plackett-Luce).

    Parameters
    ----------
    noisy : Tensor of float, shape (J, n)
        Ties go to the lower index.
    k : int
        1..n.

    Returns
    -------
    Tensor of int64, shape (J, k)
    """
    return torch.argsort(noisy, dim=1, descending=True, stable=True)[:, :k]


def relaxed_gradient(noisy: Tensor, drawn: Tensor, gradient: Tensor, temperature: float) -> Tensor:
    """Pass the gradient at the mask to the logits, through k consecutive softmaxes.

    Draw r is relaxed to ``S_r = softmax((noisy + log(1 - cum_r + 1e-20)) / temperature)``, where
    cum_r is 1 for elements of earlier draws, and the mask to ``sum_r S_r``. The result is the
    product of `gradient` with the Jacobian of that sum, with cum_r held constant.

    Parameters
    ----------
    noisy : Tensor of float, shape (J, n)
        Logits with their noise.
    drawn : Tensor of int64, shape (J, k)
        From :func:`draw_top_k`.
    gradient : Tensor of float, shape (J, n)
        Gradient at the mask.
    temperature : float
        Positive.

    Returns
    -------
    Tensor of float, shape (J, n)

    Notes
    -----
    Between two draws only the drawn element changes, by the factor
    ``c = 1e-20 ** (1 / temperature)``. With ``e = exp(noisy / temperature)``, the softmaxes are
    ``e / Z_r``, or ``c e / Z_r`` for elements of earlier draws. The product is the sum over r of
    ``S_r (gradient - <gradient, S_r>)``. Running sums over draws compute it in n + k instead of n k
    operations.
    """
    top = noisy.double().amax(1, keepdim=True)
    # Clamped so that no Z_r is 0; it matters only for logits that differ by 300 or more.
    e = torch.exp(((noisy - top) / temperature).clamp_min(LEAST_EXPONENT))
    factor = TINY ** (1 / temperature)
    weighted = gradient * e
    z, mean = (  # of the softmax of each draw, and of the gradient under it (times z): (J, k)
        _rest(values, drawn) + _from_here(first) + factor * (first.cumsum(1) - first)
        for values, first in ((e, e.gather(1, drawn)), (weighted, weighted.gather(1, drawn)))
    )
    a, b = (1 / z).cumsum(1), (mean / z / z).cumsum(1)
    all_a, all_b = a[:, -1:], b[:, -1:]
    a, b = a + factor * (all_a - a), b + factor * (all_b - b)
    result: Tensor = weighted * all_a.expand_as(e).scatter(1, drawn, a)
    result -= e * all_b.expand_as(e).scatter(1, drawn, b)
    result /= temperature
    return result.to(noisy.dtype)


def _rest(values: Tensor, drawn: Tensor) -> Tensor:
    """Sum over the elements that are never drawn, (J, 1)."""
    rest: Tensor = values.scatter(1, drawn, 0.0).sum(1, keepdim=True)
    return rest


def _from_here(values: Tensor) -> Tensor:
    """Sums from each draw to the last; adding starts at the last, so that nothing cancels."""
    sums: Tensor = values.flip(1).cumsum(1).flip(1)
    return sums
