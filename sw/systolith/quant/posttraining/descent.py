"""Rounding of weights by coordinate descent on the error of the outputs."""

import torch
from torch import Tensor

from systolith.quant.lsq import round_half_up

__all__ = ["round_by_descent"]

SWEEPS = 20
DAMPING = 0.01


def round_by_descent(
    weight: Tensor,
    mask: Tensor,
    step: Tensor,
    bounds: tuple[int, int],
    gram: Tensor,
    cross: Tensor,
) -> Tensor:
    """Choose integers q of weights so that the outputs of a layer come close to given ones.

    For each output channel with step s, the error ``s**2 q H q - 2 s q c`` is that of its outputs,
    up to a constant, with H the second moments of the inputs and c those of inputs and wanted
    output. Both include a pull towards the float weights, so that directions which the images do
    not show keep them: ``H = gram + d I``, ``c = cross + d w``, d = 1 % of the mean of gram's
    diagonal.

    From the nearest integers on, one weight after the other, for all channels at once, takes the
    integer with the least error while all others stay. The error never grows. It ends when a sweep
    changes nothing, or after 20 sweeps.

    Parameters
    ----------
    weight : Tensor of float, shape (F, n)
    mask : Tensor of bool, shape (F, n)
        False: the integer is 0.
    step : Tensor of float, shape (F,)
    bounds : pair of int
        Smallest and largest integer.
    gram : Tensor of float64, shape (n, n)
    cross : Tensor of float64, shape (F, n)

    Returns
    -------
    Tensor of float64, shape (F, n)
        Integers.

    Notes
    -----
    Behdin, Acharya, Gupta, Song, Zhu, Keerthi, Mazumder: QuantEase (2023), section 3, for the
    descent; Frantar, Ashkboos, Hoefler, Alistarh: GPTQ (ICLR 2023), section 3, for the error and
    its damping; Nagel, Amjad, van Baalen, Louizos, Blankevoort: Up or down? (ICML 2020), section
    3.2, for layer-wise rounding.

    **Deviation:** wanted outputs are those of the float network, while inputs are those of the
    quantized one, so that a layer also corrects errors of the layers before it.

    **Deviation:** all weights stay integers; QuantEase lets some leave the grid for a while.
    """
    low, high = bounds
    weight, step = weight.double() * mask, step.double()
    damping = DAMPING * gram.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    matrix = gram + damping * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    # Everything in units of the step: an integer changes by whole numbers.
    wanted = (cross + damping * weight) / step[:, None]
    integers = round_half_up((weight / step[:, None]).clamp(low, high)) * mask
    gradient = integers @ matrix - wanted
    # Heavy inputs first: what they leave over, the others can correct.
    order = gram.diagonal().argsort(descending=True, stable=True).tolist()
    for _ in range(SWEEPS):
        changed = False
        for j in order:
            best = integers[:, j] - gradient[:, j] / matrix[j, j]
            change = round_half_up(best.clamp(low, high)) - integers[:, j]
            change = change * mask[:, j]
            if change.any():
                changed = True
                integers[:, j] += change
                gradient += change[:, None] * matrix[j]
        if not changed:
            break
    return integers
