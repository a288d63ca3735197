"""Learned step size quantization: the function and its gradients."""

import torch
from torch import Tensor

__all__ = ["fake_quantize", "quantize", "round_half_up"]


def round_half_up(x: Tensor) -> Tensor:
    """Round to nearest, ties towards plus infinity, as the hardware does."""
    return torch.floor(x + 0.5)


def quantize(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """Compute the integers ``clamp(round(x / step), low, high)``, as int64.

    Clamped before rounding, which gives the same and cannot overflow.
    """
    return round_half_up((x / step).clamp(low, high)).to(torch.int64)


def fake_quantize(x: Tensor, step: Tensor, low: int, high: int, gradient_scale: float) -> Tensor:
    """Quantize and scale back: ``step * clamp(round(x / step), low, high)``, differentiable.

    Gradients, with v = x / step and g = `gradient_scale`:

    - to x: 1 where ``low <= v <= high``, else 0;
    - to step: g times ``round(v) - v`` inside, ``low`` below and ``high`` above.

    Parameters
    ----------
    x : Tensor of float
        Any shape.
    step : Tensor of float
        Positive; broadcasts with x.
    low, high : int
        Range of the integers.
    gradient_scale : float
        LSQ's g, ``1 / sqrt(N * high)`` for N values that share a step.

    Returns
    -------
    Tensor, shape of x

    Notes
    -----
    Esser, McKinstry, Bablani, Appuswamy, Modha: Learned step size quantization (ICLR 2020),
    equations 1, 2, 3, 5 and section 2.2.

    **Deviation:** ties are rounded towards plus infinity, as hardware does.
    """
    # The value is step, the gradient gradient_scale times as large.
    step = (step - step * gradient_scale).detach() + step * gradient_scale
    clamped = (x / step).clamp(low, high)
    rounded = clamped + (round_half_up(clamped) - clamped).detach()
    return rounded * step
