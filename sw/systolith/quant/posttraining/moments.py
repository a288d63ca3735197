"""Second moments of a quantized layer's inputs and of the outputs that it should have."""

from collections.abc import Iterator

import torch
from torch import Tensor

from systolith.prune.posttraining import OutputMoments, unfold_columns
from systolith.quant.layers.requantizing import pad
from systolith.quant.layers.weighted import QuantConv2d, QuantLinear

__all__ = ["measure_moments"]

UNFOLDED = 1 << 23
"""Values of unfolded windows in memory at once."""


def measure_moments(
    layer: QuantConv2d | QuantLinear, inputs: Tensor, targets: Tensor
) -> OutputMoments:
    """Measure moments on images, in float64.

    Parameters
    ----------
    layer : QuantConv2d or QuantLinear
    inputs : Tensor of float, shape (N, C, H, W) or (N, I)
    targets : Tensor of float, shape (N, F, Ho, Wo) or (N, F)
        Wanted outputs, before the activation; of all phases of a transposed convolution.
    """
    groups = layer.groups if isinstance(layer, QuantConv2d) else 1
    spread = layer.spread(layer.weight) if isinstance(layer, QuantConv2d) else layer.weight
    size, positions = spread[0].numel(), targets[:1, 0].numel()
    rows = max(UNFOLDED // (groups * size * positions), 1)

    def portions() -> Iterator[tuple[Tensor, Tensor]]:
        for some, wanted in zip(torch.split(inputs, rows), torch.split(targets, rows), strict=True):
            # In float32, the variance of an input that hardly changes would be noise.
            y = wanted.double().reshape(len(wanted), groups, -1, positions)
            yield _lower_inputs(layer, some.double()), y.permute(1, 2, 0, 3).flatten(2)

    return OutputMoments.accumulate(portions())


def _lower_inputs(layer: QuantConv2d | QuantLinear, x: Tensor) -> Tensor:
    """Return the inputs of each output, shape (G, n, N * positions)."""
    if isinstance(layer, QuantLinear):
        return x.T[None]
    _, _, *kernel = layer.spread(layer.weight).shape
    padded = pad(x, layer.padding)
    return unfold_columns(
        padded,
        (kernel[0], kernel[1]),
        stride=layer.stride,
        dilation=layer.dilation,
        groups=layer.groups,
    )
