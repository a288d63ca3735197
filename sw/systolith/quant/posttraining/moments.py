"""Second moments of a layer's inputs, and of its inputs with the outputs it should have."""

from dataclasses import dataclass

import torch
from torch import Tensor

from systolith.prune.posttraining import unfold_columns
from systolith.quant.requantizing import pad
from systolith.quant.weighted import QuantConv2d, QuantLinear

__all__ = ["LayerMoments"]

UNFOLDED = 1 << 23
"""Values of unfolded windows in memory at once."""
NOISE = 1e-9
"""Share of an input's mean square below which its variance is noise of float64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerMoments:
    """Averages over all images and positions, by group of a convolution.

    A layer without groups has one group. n is the number of weights of a filter.

    Parameters
    ----------
    inputs : Tensor of float64, shape (G, n)
        Means of the inputs.
    targets : Tensor of float64, shape (G, F / G)
        Means of the wanted outputs.
    gram : Tensor of float64, shape (G, n, n)
        Means of products of two inputs.
    cross : Tensor of float64, shape (G, F / G, n)
        Means of products of a wanted output and an input.
    """

    inputs: Tensor
    targets: Tensor
    gram: Tensor
    cross: Tensor

    @classmethod
    def measure(
        cls, layer: QuantConv2d | QuantLinear, inputs: Tensor, targets: Tensor
    ) -> "LayerMoments":
        """Measure them on images.

        Parameters
        ----------
        layer : QuantConv2d or QuantLinear
        inputs : Tensor of float, shape (N, C, H, W) or (N, I)
        targets : Tensor of float, shape (N, F, Ho, Wo) or (N, F)
            Wanted outputs, before the activation.
        """
        groups = layer.groups if isinstance(layer, QuantConv2d) else 1
        size, filters = layer.weight[0].numel(), len(layer.weight) // groups
        sums = [
            inputs.new_zeros(groups, *shape, dtype=torch.float64)
            for shape in [(size,), (filters,), (size, size), (filters, size)]
        ]
        positions = targets[:1, 0].numel()
        rows = max(UNFOLDED // (groups * size * positions), 1)
        for some, wanted in zip(torch.split(inputs, rows), torch.split(targets, rows), strict=True):
            # In float32, the variance of an input that hardly changes would be noise.
            x = _lower_inputs(layer, some.double())
            y = wanted.double().reshape(len(wanted), groups, filters, -1)
            y = y.permute(1, 2, 0, 3).reshape(groups, filters, -1)
            for total, added in zip(sums, [x.sum(2), y.sum(2), x @ x.mT, y @ x.mT], strict=True):
                total += added
        count = len(inputs) * positions
        means = [total / count for total in sums]
        return cls(inputs=means[0], targets=means[1], gram=means[2], cross=means[3])

    def center(self) -> "LayerMoments":
        """Covariances instead of products: what a layer with a free bias has to reproduce.

        Those of inputs that do not change are exactly 0.
        """
        gram = self.gram - self.inputs[:, :, None] * self.inputs[:, None, :]
        cross = self.cross - self.targets[:, :, None] * self.inputs[:, None, :]
        variances, squares = (matrix.diagonal(dim1=1, dim2=2) for matrix in (gram, self.gram))
        changes = variances > NOISE * squares
        gram = gram * changes[:, :, None] * changes[:, None, :]
        cross = cross * changes[:, None, :]
        return LayerMoments(inputs=self.inputs, targets=self.targets, gram=gram, cross=cross)


def _lower_inputs(layer: QuantConv2d | QuantLinear, x: Tensor) -> Tensor:
    """Return the inputs of each output, shape (G, n, N * positions)."""
    if isinstance(layer, QuantLinear):
        return x.T[None]
    kernel = (layer.weight.shape[2], layer.weight.shape[3])
    padded = pad(x, layer.padding)
    return unfold_columns(padded, kernel, stride=layer.stride, groups=layer.groups)
