"""Rounding of weights by coordinate descent on the error of the outputs."""

import torch
from torch import Tensor

from systolith.quant.steps.lsq import round_half_up

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

    First, weights are rounded one after the other, and those not yet rounded make up for each
    rounding error as well as real numbers can. Then one weight after the other, for all channels at
    once, takes the integer with the least error while all others stay, until a sweep changes
    nothing, or for 20 sweeps; the error never grows.

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
    First part: Frantar, Ashkboos, Hoefler, Alistarh: GPTQ (ICLR 2023), section 3. Second part:
    Behdin, Acharya, Gupta, Song, Zhu, Keerthi, Mazumder: QuantEase (2023), section 3. Layer-wise
    rounding: Nagel, Amjad, van Baalen, Louizos, Blankevoort: Up or down? (ICML 2020), section 3.2.

    **Deviation:** wanted outputs are those of the float network, while inputs are those of the
    quantized one, so that a layer also corrects errors of the layers before it.

    **Deviation:** all channels with the same mask share one order, heaviest inputs first, and
    pruned weights take no part; GPTQ knows no masks.

    **Deviation:** in the second part all weights stay integers; QuantEase lets some leave the grid
    for a while.
    """
    low, high = bounds
    weight, step = weight.double() * mask, step.double()
    # Everything in units of the step and of the inputs' power, which may be 0.
    power = gram.diagonal().mean()
    power = torch.where(power > 0, power, 1.0)
    matrix = gram / power + DAMPING * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    wanted = (cross / power + DAMPING * weight) / step[:, None]
    order = gram.diagonal().argsort(descending=True, stable=True)
    integers = torch.zeros_like(weight)
    patterns, chosen = torch.unique(mask, dim=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        kept, rows = order[pattern[order]], (chosen == number).nonzero()
        inner = matrix[kept][:, kept]
        integers[rows, kept] = _round_in_sequence(inner, wanted[rows, kept], bounds)
    gradient = integers @ matrix - wanted
    for _ in range(SWEEPS):
        changed = False
        for j in order.tolist():
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


def _round_in_sequence(matrix: Tensor, wanted: Tensor, bounds: tuple[int, int]) -> Tensor:
    """Round column after column; the columns after it make up for its error."""
    values: Tensor = torch.linalg.solve(matrix, wanted.T).T
    # Row j of this factor: how the columns after j change for a unit of error in column j.
    factor = torch.linalg.cholesky(torch.linalg.inv(matrix), upper=True)
    for j in range(len(matrix)):
        error = values[:, j] - round_half_up(values[:, j].clamp(*bounds))
        values[:, j:] -= (error / factor[j, j])[:, None] * factor[j, j:]
        values[:, j] = values[:, j].round()
    return values
