"""Batch norms and constants as part of the layer before or behind them."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from systolith.network import Shape
from systolith.quant.recognition.operations import ScaleAndShift

__all__ = ["batch_norm_scale", "fold_batch_norm", "fold_scale", "scale_channels"]

BatchNorm = nn.BatchNorm2d | nn.BatchNorm1d
_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


def fold_batch_norm(layer: _Layer, norm: BatchNorm) -> _Layer:
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
        A new float32 layer with a bias that computes ``norm(layer(x))``, up to rounding. Frozen
        weights stay frozen. The bias is frozen if no parameter of layer and norm was trained.

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
    bias = None if layer.bias is None else layer.bias.detach().double()
    factor, shift = _factor_and_shift(norm, bias)
    weight = layer.weight.detach().double() * factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
    trained = any(p.requires_grad for p in (*layer.parameters(), *norm.parameters()))
    return _with_parameters(layer, weight.float(), shift.float(), trained)


def batch_norm_scale(norm: BatchNorm, shape: Shape) -> ScaleAndShift:
    """Write a batch norm in evaluation as a factor and a shift, of one image's shape."""
    channels = (-1, *[1] * (len(shape) - 1))
    factor, shift = (
        values.cpu().reshape(channels).expand(shape) for values in _factor_and_shift(norm)
    )
    reason = "needs a Conv2d directly before it, read by nothing else, to be folded into"
    return ScaleAndShift(factor, shift, reason)


def fold_scale(layer: _Layer, factor: Tensor, shift: Tensor) -> _Layer | None:
    """Fold a factor and a shift into the layer behind them: ``layer(x * factor + shift)``.

    Parameters
    ----------
    layer : nn.Conv2d or nn.Linear
        A convolution without padding, unless the shift is 0.
    factor, shift : Tensor, shape of one image

    Returns
    -------
    nn.Conv2d or nn.Linear, optional
        None if values of one channel have different factors or shifts.
    """
    if isinstance(layer, nn.Conv2d):
        if not (_is_per_channel(factor) and _is_per_channel(shift)):
            return None
        factor, shift = factor[:, 0, 0], shift[:, 0, 0]
    elif factor.ndim != 1:
        return None
    weight = layer.weight.detach().double()
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    # Filters of one group read the same channels.
    rows = (
        values.to(weight.device).reshape(groups, -1).repeat_interleave(len(weight) // groups, 0)
        for values in (factor, shift)
    )
    factors, shifts = (row.reshape(*row.shape, *[1] * (weight.ndim - 2)) for row in rows)
    bias = (weight * shifts).flatten(1).sum(1)
    if layer.bias is not None:
        bias = bias + layer.bias.detach().double()
    trained = any(parameter.requires_grad for parameter in layer.parameters())
    dtype = layer.weight.dtype
    return _with_parameters(layer, (weight * factors).to(dtype), bias.to(dtype), trained)


def scale_channels(factor: Tensor, shift: Tensor) -> nn.Conv2d | None:
    """Make a depthwise convolution that computes ``x * factor + shift``.

    Parameters
    ----------
    factor, shift : Tensor, shape of one image

    Returns
    -------
    nn.Conv2d, optional
        None if values of one channel have different factors or shifts, or there is no image.
    """
    if factor.ndim != 3 or not (_is_per_channel(factor) and _is_per_channel(shift)):
        return None
    channels = len(factor)
    conv = nn.Conv2d(channels, channels, 1, groups=channels)
    with torch.no_grad():
        conv.weight.copy_(factor[:, :1, :1, None])
        conv.bias.copy_(shift[:, 0, 0])  # type: ignore[union-attr]  # there is one
    return conv


def _factor_and_shift(norm: BatchNorm, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Factor and shift of each channel in float64, so that folding rounds once.

    With a bias, ``norm(x + bias) = x * factor + shift``.
    """
    assert norm.running_mean is not None and norm.running_var is not None
    factor = torch.rsqrt(norm.running_var.double() + norm.eps)
    shift = -norm.running_mean.double()
    if bias is not None:
        shift = shift + bias
    if norm.affine:
        factor = factor * norm.weight.detach().double()
    shift = shift * factor
    if norm.affine:
        shift = shift + norm.bias.detach().double()
    return factor, shift


def _with_parameters(layer: _Layer, weight: Tensor, bias: Tensor, trained: bool) -> _Layer:
    """Make a layer with the same settings and other parameters."""
    if isinstance(layer, nn.Linear):
        copy = nn.Linear(layer.in_features, layer.out_features, device="meta")
    else:
        copy = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]  # a pair, which torch annotates as any tuple
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
            padding_mode=layer.padding_mode,
            device="meta",
        )
    copy.weight = nn.Parameter(weight, requires_grad=layer.weight.requires_grad)
    copy.bias = nn.Parameter(bias, requires_grad=trained)
    return copy


def _is_per_channel(values: Tensor) -> bool:
    return bool((values == values[:, :1, :1]).all())
