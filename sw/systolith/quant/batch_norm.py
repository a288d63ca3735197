"""Batch normalization as part of the convolution before it."""

import torch
from torch import nn

__all__ = ["fold_batch_norm"]


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Fold a batch norm, as it works in evaluation, into the convolution before it.

    ``W' = W * gamma / sqrt(var + eps)``, ``b' = (b - mean) * gamma / sqrt(var + eps) + beta``

    Zeros stay zeros, so masks stay valid.

    Parameters
    ----------
    conv, norm
        Left as they are. `norm` needs running statistics.

    Returns
    -------
    nn.Conv2d
        A new convolution with a bias that computes ``norm(conv(x))``, up to float rounding. Weights
        that were frozen are frozen again; the bias is, if nothing was trained.

    Raises
    ------
    ValueError
        If the norm has no running statistics, or another number of channels.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("folding a batch norm needs running statistics, but it tracks none")
    if norm.num_features != conv.out_channels:
        raise ValueError(
            f"folding needs as many batch norm features as out_channels ({conv.out_channels}), "
            f"got {norm.num_features}"
        )
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]  # a pair, which torch annotates as any tuple
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        conv.groups,
        padding_mode=conv.padding_mode,
    ).to(conv.weight.device)
    assert folded.bias is not None
    with torch.no_grad():
        # In float64, so that folding rounds once.
        scale = torch.rsqrt(norm.running_var.double() + norm.eps)
        shift = -norm.running_mean.double()
        if conv.bias is not None:
            shift += conv.bias.double()
        if norm.affine:
            scale *= norm.weight.double()
        shift *= scale
        if norm.affine:
            shift += norm.bias.double()
        folded.weight.copy_(conv.weight.double() * scale[:, None, None, None])
        folded.bias.copy_(shift)
    parameters = [*conv.parameters(), *norm.parameters()]
    folded.weight.requires_grad_(conv.weight.requires_grad)
    folded.bias.requires_grad_(any(parameter.requires_grad for parameter in parameters))
    return folded
