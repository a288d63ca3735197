"""Sampling exactly k out of n without replacement, with a relaxation that passes gradients."""

import torch
from torch import Generator, Tensor

__all__ = ["draw_top_k", "gumbel_noise", "relaxed_gradient"]

TINY = 1e-20


def gumbel_noise(like: Tensor, generator: Generator) -> Tensor:
    """Draw standard Gumbel noise, ``-log(-log u)``, shaped as `like` and on its device.

    The generator is one on the CPU, so that noise does not depend on the device.
    """
    uniform = torch.rand(like.shape, generator=generator).clamp_min(TINY)
    return -torch.log((-torch.log(uniform)).clamp_min(TINY)).to(like.device)


def draw_top_k(noisy: Tensor, k: int) -> Tensor:
    """Order the k drawn of each row: the k largest of noisy logits, the largest first.

    With standard Gumbel noise this is drawing without replacement with probabilities
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
    """Pass the gradient at the mask to the logits, through k softmaxes one after the other.

    Draw r is relaxed to ``S_r = softmax((noisy + log(1 - cum_r + 1e-20)) / temperature)``, where
    cum_r has ones at what was drawn before, and the mask to ``sum_r S_r``. This is the product of
    `gradient` with the Jacobian of that sum; cum_r counts as constant.

    Parameters
    ----------
    noisy : Tensor of float, shape (J, n)
        Logits with their noise.
    drawn : Tensor of int64, shape (J, k)
        From :func:`draw_top_k`.
    gradient : Tensor of float, shape (J, n)
        At the mask.
    temperature : float
        Positive.

    Returns
    -------
    Tensor of float, shape (J, n)
    """
    penalty = torch.log(torch.tensor(TINY, dtype=noisy.dtype))
    remaining = noisy.clone()
    result = torch.zeros_like(noisy)
    for draw in drawn.unbind(1):
        relaxed = torch.softmax(remaining / temperature, dim=1)
        centred = gradient - (gradient * relaxed).sum(1, keepdim=True)
        result.addcmul_(relaxed, centred)
        remaining.scatter_add_(1, draw[:, None], penalty.to(noisy.device).expand(len(noisy), 1))
    return result / temperature
