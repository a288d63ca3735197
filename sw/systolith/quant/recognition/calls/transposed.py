"""Transposed convolutions, recognized as convolutions of all their phases."""

from torch import nn

from systolith.network import PhaseWindow, phase_order
from systolith.quant.recognition.calls.windows import padding_problems, pair
from systolith.quant.recognition.operations import (
    Convolve,
    DepthToPixels,
    Operation,
    Pad,
    Recognized,
    TakeChannels,
)
from systolith.trace import Call

__all__ = ["phase_moves", "transposed_convolution"]


def transposed_convolution(call: Call) -> Recognized:
    """Recognize a transposed convolution of images."""
    module = call.module
    if not isinstance(module, nn.ConvTranspose2d):
        kinds = "nn.ConvTranspose2d or nn.ConvTranspose1d"
        return None, [f"needs to be called as {kinds}, which owns the weights"]
    if not call.are_images:
        return None, [f"needs images (N, C, H, W) or sequences (N, C, L), got {call.input}"]
    problems = []
    kernel, stride = pair(module.kernel_size), pair(module.stride)
    padding, added = pair(module.padding), pair(module.output_padding)
    if (dilation := pair(module.dilation)) != (1, 1):
        problems.append(f"needs dilation 1, got {dilation}")
    usual = tuple(
        (size - 1) * by - 2 * around + taps + more
        for size, by, around, taps, more in zip(
            call.image, stride, padding, kernel, added, strict=True
        )
    )
    if not problems and usual != call.output[2:]:
        problems.append(f"needs output_size None; give it output_padding, got {call.output[2:]}")
    if problems:
        return None, problems
    rows, columns = (
        PhaseWindow.of(size, output, taps, by, around)
        for size, output, taps, by, around in zip(
            call.image, call.output[2:], kernel, stride, padding, strict=True
        )
    )
    conv = _filters_first(module)
    around = rows.before, rows.after, columns.before, columns.after
    cut = rows.cut_before, rows.cut_after, columns.cut_before, columns.cut_after
    operation = Convolve(conv, around, phases=stride, cut=cut)
    if list(padding_problems(around, operation.reach)):
        problems.append(f"needs output_padding up to the padding {padding}, got {added}")
    return operation, problems


def phase_moves(operation: Convolve) -> list[tuple[str, Operation]]:
    """List what makes pixels of phases, by suffix of its name."""
    filters, groups = operation.module.out_channels, operation.module.groups
    stride = operation.phases
    assert stride is not None, "it is a transposed convolution"
    order, moves = phase_order(filters, stride, groups), list[tuple[str, Operation]]()
    if order != tuple(range(len(order))):
        moves.append(("channels", TakeChannels(order)))
    if stride != (1, 1):
        moves.append(("blocks", DepthToPixels(stride)))
    if any(operation.cut):
        top, bottom, left, right = (-side for side in operation.cut)
        moves.append(("cut", Pad((top, bottom, left, right))))
    return moves


def _filters_first(module: nn.ConvTranspose2d) -> nn.Conv2d:
    """Hold the weights (C, F/groups, Kh, Kw) as (F, C/groups, Kh, Kw)."""
    groups = module.groups
    conv = nn.Conv2d(
        module.in_channels,
        module.out_channels,
        (module.kernel_size[0], module.kernel_size[1]),
        groups=groups,
        bias=module.bias is not None,
        device="meta",
    )
    parts = module.weight.detach().reshape(groups, -1, *module.weight.shape[1:])
    weight = parts.transpose(1, 2).flatten(0, 1).contiguous()
    conv.weight = nn.Parameter(weight, requires_grad=module.weight.requires_grad)
    if module.bias is not None:
        bias = module.bias.detach()
        conv.bias = nn.Parameter(bias, requires_grad=module.bias.requires_grad)
    return conv
