"""Arithmetic with constants, as a factor and a shift of every value."""

import torch
from torch import Tensor, nn

from systolith.quant.operations import Pass, Scale
from systolith.quant.recognize import Recognized, Shapes

__all__ = ["fold_scale", "normalizing_scale", "scale_of"]

Constant = float | Tensor | None


def scale_of(
    shapes: Shapes,
    reason: str,
    *,
    factor: Constant = 1.0,
    divisor: Constant = 1.0,
    shift: Constant = 0.0,
    times: float = 1.0,
) -> Recognized:
    """Recognize ``x * factor / divisor + shift * times``; nothing at all if that is x."""
    given = [factor, divisor, shift]
    if shapes.input != shapes.output or not all(isinstance(v, int | float | Tensor) for v in given):
        return None, [reason]
    scale, bottom, added = (_spread(value, shapes) for value in given)
    if scale is None or bottom is None or added is None:
        return None, [reason]
    scale, added = scale / bottom, added * times
    if bool((scale == 1).all()) and not bool(added.any()):
        return Pass(), []
    return Scale(scale, added, reason), []


def normalizing_scale(norm: nn.BatchNorm2d | nn.BatchNorm1d, shape: torch.Size) -> Scale:
    """Write a batch norm in evaluation as a factor and a shift, of one image's shape."""
    assert norm.running_mean is not None and norm.running_var is not None
    factor = torch.rsqrt(norm.running_var.double() + norm.eps)
    shift = -norm.running_mean.double()
    if norm.affine:
        factor = factor * norm.weight.detach().double()
    shift = shift * factor
    if norm.affine:
        shift = shift + norm.bias.detach().double()
    channels = (-1, *[1] * (len(shape) - 1))
    factor, shift = factor.cpu(), shift.cpu()
    reason = "needs a Conv2d directly before it, read by nothing else, to be folded into"
    return Scale(
        factor.reshape(channels).expand(shape), shift.reshape(channels).expand(shape), reason
    )


def fold_scale(
    layer: nn.Conv2d | nn.Linear, factor: Tensor, shift: Tensor
) -> nn.Conv2d | nn.Linear | None:
    """Give a convolution without padding, or a linear layer, of ``layer(x * factor + shift)``.

    None if values of one channel have different factors or shifts.
    """
    if isinstance(layer, nn.Conv2d):
        if not (_is_per_channel(factor) and _is_per_channel(shift)):
            return None
        factor, shift = factor[:, 0, 0], shift[:, 0, 0]
    elif factor.ndim != 1:
        return None
    return _folded(layer, factor, shift)


def _folded(layer: nn.Conv2d | nn.Linear, factor: Tensor, shift: Tensor) -> nn.Conv2d | nn.Linear:
    weight, bias = layer.weight, layer.bias
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    # Filters of one group read the same channels.
    each = len(weight) // groups
    rows = [tensor.reshape(groups, -1).repeat_interleave(each, 0) for tensor in (factor, shift)]
    rows = [row.to(weight.device) for row in rows]
    scales, shifts = (row.reshape(*row.shape, *[1] * (weight.ndim - 2)) for row in rows)
    exact = weight.detach().double()
    added = (exact * shifts).flatten(1).sum(1)
    if bias is not None:
        added = added + bias.detach().double()
    trained = [weight.requires_grad, any(p.requires_grad for p in layer.parameters())]
    folded: nn.Conv2d | nn.Linear
    if isinstance(layer, nn.Conv2d):
        folded = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            (layer.kernel_size[0], layer.kernel_size[1]),
            (layer.stride[0], layer.stride[1]),
            groups=layer.groups,
            device="meta",
        )
    else:
        folded = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    dtype = weight.dtype
    folded.weight = nn.Parameter((exact * scales).to(dtype), requires_grad=trained[0])
    folded.bias = nn.Parameter(added.to(dtype), requires_grad=trained[1])
    return folded.eval()


def _spread(value: Constant, shapes: Shapes) -> Tensor | None:
    """Constant as a tensor of one image's shape; None if it has another for each image."""
    tensor = torch.as_tensor(value).detach().double().cpu()
    if tensor.ndim == len(shapes.input) and len(tensor) != 1:
        return None
    if tensor.ndim == len(shapes.input):
        tensor = tensor[0]
    return tensor.expand(shapes.input[1:]) if tensor.ndim < len(shapes.input) else None


def _is_per_channel(values: Tensor) -> bool:
    return bool((values == values[:, :1, :1]).all())
