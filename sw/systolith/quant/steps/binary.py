"""Binary weights: signs and their scale."""

import torch
from torch import Tensor

__all__ = ["best_scale", "binarize", "sign_values"]


def binarize(weight: Tensor, scale: Tensor, gradient_scale: float) -> Tensor:
    """Replace weights by ``scale * sign(weight)``, differentiable.

    A weight of 0 stays 0, so masks work as for other widths: pruned weights are 0, kept ones -1 or
    +1.

    Gradients, with g = `gradient_scale`:

    - to the weight: that of a hard tanh, 1 where ``|weight| <= scale``, else 0;
    - to the scale: g times ``sign(weight)``.

    Parameters
    ----------
    weight : Tensor of float
        Any shape.
    scale : Tensor of float
        Positive; broadcasts with the weight.
    gradient_scale : float
        As in :func:`systolith.quant.fake_quantize`.

    Returns
    -------
    Tensor, shape of weight

    Notes
    -----
    Hubara, Courbariaux, Soudry, El-Yaniv, Bengio: Binarized neural networks (NeurIPS 2016), section
    1.3, for sign and hard tanh.

    **Deviation:** the hard tanh saturates at the scale instead of 1, for weights of any size, and
    the scale is learned, as the step of LSQ.
    """
    passing = weight.clamp(-scale.detach(), scale.detach())
    scaled = scale * gradient_scale
    learned = scale.detach() + (scaled - scaled.detach())
    return learned * weight.detach().sign() + (passing - passing.detach())


def sign_values(x: Tensor, scale: Tensor, gradient_scale: float) -> Tensor:
    """Replace values by ``scale * sign(x)``, where the sign of 0 is +1, differentiable.

    Parameters, gradients, paper and deviation as in :func:`binarize`.
    """
    signs = torch.where(x.detach() >= 0, 1.0, -1.0).to(x.dtype)
    passing = x.clamp(-scale.detach(), scale.detach())
    scaled = scale * gradient_scale
    learned = scale.detach() + (scaled - scaled.detach())
    return learned * signs + (passing - passing.detach())


def best_scale(rows: Tensor) -> Tensor:
    """Find each row's scale with the least squared error: the mean magnitude of nonzero weights.

    Parameters
    ----------
    rows : Tensor of float, shape (R, N)

    Returns
    -------
    Tensor of float, shape (R,)
        Positive; 1 for a row of zeros.

    Notes
    -----
    Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net (ECCV 2016), equation 6.
    """
    mean = rows.detach().abs().sum(1) / rows.count_nonzero(1).clamp_min(1)
    return torch.where(mean > 0, mean, 1.0)
