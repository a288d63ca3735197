"""Batch normalization as part of the layer before it."""

from typing import TypeVar

import torch
from torch import nn

__all__ = ["fold_batch_norm"]

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


def fold_batch_norm(layer: _Layer, norm: nn.BatchNorm2d | nn.BatchNorm1d) -> _Layer:
    """Fold a batch norm, as it works in evaluation, into the layer before it.

    ``W' = W * gamma / sqrt(var + eps)``, ``b' = (b - mean) * gamma / sqrt(var + eps) + beta``

    Zeros stay zeros, so masks stay valid.

    Parameters
    ----------
    layer : nn.Conv2d or nn.Linear
        Left as it is.
    norm : nn.BatchNorm2d or nn.BatchNorm1d
        Left as it is. It needs running statistics.

    Returns
    -------
    nn.Conv2d or nn.Linear
        A new layer with a bias that computes ``norm(layer(x))``, up to float rounding. Weights
        that were frozen are frozen again; the bias is, if nothing was trained.

    Raises
    ------
    ValueError
        If the norm has no running statistics, or another number of channels.
    """
    channels = layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("folding a batch norm needs running statistics, but it tracks none")
    if norm.num_features != channels:
        raise ValueError(
            f"folding needs as many batch norm features as out_channels ({channels}), "
            f"got {norm.num_features}"
        )
    folded = _with_bias(layer)
    assert folded.bias is not None
    with torch.no_grad():
        # In float64, so that folding rounds once.
        scale = torch.rsqrt(norm.running_var.double() + norm.eps)
        shift = -norm.running_mean.double()
        if layer.bias is not None:
            shift += layer.bias.double()
        if norm.affine:
            scale *= norm.weight.double()
        shift *= scale
        if norm.affine:
            shift += norm.bias.double()
        axes = (-1, *[1] * (layer.weight.ndim - 1))
        folded.weight.copy_(layer.weight.double() * scale.reshape(axes))
        folded.bias.copy_(shift)
    parameters = [*layer.parameters(), *norm.parameters()]
    folded.weight.requires_grad_(layer.weight.requires_grad)
    folded.bias.requires_grad_(any(parameter.requires_grad for parameter in parameters))
    return folded


def _with_bias(layer: _Layer) -> _Layer:
    device = layer.weight.device
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, layer.out_features, device=device)
    return nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]  # a pair, which torch annotates as any tuple
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        layer.groups,
        padding_mode=layer.padding_mode,
        device=device,
    )
