"""Optimal brain surgeon: weights leave one decision at a time, the others compensate."""

import torch
from torch import Tensor

from systolith.network import Dense, KOutOfN, Pattern, PerNeuron, WeightShape
from systolith.prune.decisions import is_by_kernel
from systolith.prune.posttraining.least_squares import solve_kept

__all__ = ["find_mask_by_elimination"]

MOST_ELEMENTS = 2**25
"""Elements of the factors of inverse matrices that are held at once: 256 MiB in float64."""


def find_mask_by_elimination(
    weight: Tensor, gram: Tensor, pattern: Pattern, shape: WeightShape
) -> Tensor:
    """Choose the mask by removing, again and again, what costs least.

    With W a filter's weights and ``G = H^-1``, removal of the weights S of one decision, if all
    others move to their best values, costs ``W_S (G_SS)^-1 W_S^T`` of squared output. Each step
    removes the cheapest decision of each filter among the groups that still keep more than k,
    updates ``W -= W_S (G_SS)^-1 G_S`` and ``G -= G_S^T (G_SS)^-1 G_S``, and goes on. Taps that a
    stride drops leave first. Filters that share masks add up their costs.

    Parameters
    ----------
    weight : Tensor of float64, shape (groups, rows, d)
    gram : Tensor of float64, shape (groups, d, d)
        Positive definite.
    pattern : Pattern
        Fits the shape.
    shape : WeightShape
        Of the layer's weights: groups * rows filters, d weights each.

    Returns
    -------
    Tensor of bool, shape (groups, rows, d)
        On ties, the lower index leaves first.

    Notes
    -----
    Hassibi, Stork: Second order derivatives for network pruning: optimal brain surgeon (NeurIPS
    1992), equation 5. Frantar, Singh, Alistarh: Optimal brain compression (NeurIPS 2022), sections
    4 and 5: one layer's output as the loss, rows apart, groups of n and blocks.

    **Deviation:** exact k-out-of-n of all patterns here, also when filters share masks. G is never
    updated as a whole: its change is kept as a product of factors, which reads d r numbers in step
    r, not d^2.
    """
    read = torch.from_numpy(pattern.tap_mask(shape)).flatten().to(weight.device)
    if not bool(read.all()):
        weight = solve_kept(weight, gram, read.expand(weight.shape))
        apart = torch.eye(len(read), dtype=gram.dtype, device=gram.device)
        gram = torch.where(read[:, None] & read, gram, apart)
    select = pattern.select
    if isinstance(select, Dense):
        return read.expand(weight.shape).clone()
    members = _members(read, select, shape)
    steps = len(members) * (members.shape[1] - select.k)
    inverse = torch.linalg.inv(gram)
    groups, rows, inputs = weight.shape
    owner = torch.arange(groups, device=weight.device).repeat_interleave(rows)
    taken = max(1, steps * members.shape[2] * inputs)
    teams = max(1, MOST_ELEMENTS // (taken * select.shared_by))
    size = teams * select.shared_by
    parts = [
        _eliminate_rows(part, inverse, whose, members, select.k, select.shared_by)
        for part, whose in zip(
            torch.split(weight.flatten(0, 1), size), torch.split(owner, size), strict=True
        )
    ]
    return (torch.cat(parts) & read).reshape(weight.shape)


def _members(read: Tensor, select: KOutOfN | PerNeuron, shape: WeightShape) -> Tensor:
    """Positions in a row of the weights of each decision; shape (groups, n, weights)."""
    _, channels, kh, kw = shape
    index = torch.arange(len(read), device=read.device)
    if isinstance(select, PerNeuron):
        return index[read].reshape(1, -1, 1)
    kernels = index.reshape(channels // select.n, select.n, kh * kw)
    if is_by_kernel(select):
        return kernels
    members = kernels.transpose(1, 2).reshape(-1, select.n, 1)
    return members[read[members[:, 0, 0]]]


def _eliminate_rows(
    weight: Tensor, inverse: Tensor, owner: Tensor, members: Tensor, k: int, shared_by: int
) -> Tensor:
    """Eliminate in some filters, (rows, d); `owner` is each one's group of the convolution."""
    rows, inputs = weight.shape
    groups, n, size = members.shape
    steps = groups * (n - k)
    flat = members.reshape(-1, size)
    group_of = torch.arange(groups, device=weight.device).repeat_interleave(n)
    row = torch.arange(rows, device=weight.device)
    weight = weight.clone()
    kept = torch.ones(rows, len(flat), dtype=torch.bool, device=weight.device)
    surplus = torch.full((rows, groups), n - k, device=weight.device)
    factors = weight.new_zeros(rows, steps * size, inputs)
    blocks = inverse[:, flat[:, :, None], flat[:, None, :]][owner]
    for step in range(steps):
        cost = _removal_costs(weight[:, flat], blocks)
        cost = cost.reshape(-1, shared_by, len(flat)).sum(1).repeat_interleave(shared_by, dim=0)
        cost.masked_fill_(~kept | (surplus[:, group_of] == 0), torch.inf)
        chosen = cost.argmin(1)
        taken = flat[chosen]
        lines = inverse[owner[:, None], taken]
        before = factors[:, : step * size]
        here = taken[:, None, :].expand(rows, step * size, size)
        lines = lines - before.gather(2, here).mT @ before
        block = lines.gather(2, taken[:, None, :].expand(rows, size, size))
        lower = torch.linalg.cholesky(block)
        factor = torch.linalg.solve_triangular(lower, lines, upper=False)
        value = weight.gather(1, taken)[..., None]
        amount = torch.linalg.solve_triangular(lower, value, upper=False)
        weight -= (amount.mT @ factor)[:, 0]
        factors[:, step * size : (step + 1) * size] = factor
        parts = factor[:, :, flat].permute(0, 2, 3, 1)
        blocks = blocks - parts @ parts.mT
        kept[row, chosen] = False
        surplus[row, group_of[chosen]] -= 1
        blocks[row, chosen] = torch.eye(size, dtype=weight.dtype, device=weight.device)
    mask = torch.zeros(rows, inputs, dtype=torch.bool, device=weight.device)
    return mask.scatter_(
        1, flat.flatten().expand(rows, -1), kept[:, :, None].expand(-1, -1, size).flatten(1)
    )


def _removal_costs(values: Tensor, blocks: Tensor) -> Tensor:
    """``w B^-1 w`` for w of shape (rows, decisions, weights) and B of each decision."""
    if values.shape[-1] == 1:
        return values[..., 0].square() / blocks[..., 0, 0]
    solved = torch.cholesky_solve(values[..., None], torch.linalg.cholesky(blocks))
    return (values * solved[..., 0]).sum(-1)
