"""Second moments of a layer's inputs, and of its inputs with the outputs that it should have."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["OutputMoments", "unfold_columns"]

NOISE = 1e-9
"""Share of an input's mean square below which its variance is noise of float64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutputMoments:
    """What least squares needs to bring a layer's outputs near others, y.

    All are float64 means over positions, by group of a convolution; a layer without groups has one.
    The last one of the d + 1 inputs x is always 1.

    Parameters
    ----------
    gram : Tensor, shape (groups, d + 1, d + 1)
        ``x x^T``
    cross : Tensor, shape (groups, rows, d + 1)
        ``y x^T``
    squares : Tensor, shape (groups, rows)
        ``y^2``
    """

    gram: Tensor
    cross: Tensor
    squares: Tensor

    @classmethod
    def accumulate(cls, portions: Iterable[tuple[Tensor, Tensor]]) -> "OutputMoments":
        """Average over portions of positions.

        Parameters
        ----------
        portions : iterable of (Tensor, Tensor)
            Inputs without the last one, shape (groups, d, positions), and wanted outputs, shape
            (groups, rows, positions); at least one portion. Products are computed in their type,
            and added up in float64.
        """
        sums: tuple[Tensor, ...] = ()
        positions = 0
        for inputs, y in portions:
            x = torch.cat([inputs, inputs.new_ones(len(inputs), 1, inputs.shape[2])], dim=1)
            parts = (x @ x.mT).double(), (y @ x.mT).double(), y.double().square().sum(2)
            sums = tuple(map(torch.add, sums, parts)) if sums else parts
            positions += inputs.shape[2]
        gram, cross, squares = sums
        return cls(
            gram=(gram + gram.mT) / (2 * positions),
            cross=cross / positions,
            squares=squares / positions,
        )

    @property
    def input_means(self) -> Tensor:
        """Means of the d inputs; shape (groups, d)."""
        return self.gram[:, -1, :-1]

    @property
    def output_means(self) -> Tensor:
        """Means of the wanted outputs; shape (groups, rows)."""
        return self.cross[:, :, -1]

    def without_bias(self, bias: Tensor | None) -> "OutputMoments":
        """Return moments of ``y - bias``, and of x without its last input."""
        if bias is None:
            return OutputMoments(
                gram=self.gram[:, :-1, :-1], cross=self.cross[:, :, :-1], squares=self.squares
            )
        shift = bias.detach().double().reshape(self.squares.shape)
        return OutputMoments(
            gram=self.gram[:, :-1, :-1],
            cross=self.cross[:, :, :-1] - shift[:, :, None] * self.gram[:, -1:, :-1],
            squares=self.squares - 2 * shift * self.output_means + shift.square(),
        )

    def centered(self) -> "OutputMoments":
        """Return covariances, which a layer with a free bias has to reproduce; x has d inputs.

        Those of inputs that do not change are exactly 0.
        """
        means = self.input_means
        gram = self.gram[:, :-1, :-1] - means[:, :, None] * means[:, None, :]
        cross = self.cross[:, :, :-1] - self.output_means[:, :, None] * means[:, None, :]
        squares = self.gram[:, :-1, :-1].diagonal(dim1=1, dim2=2)
        changes = gram.diagonal(dim1=1, dim2=2) > NOISE * squares
        return OutputMoments(
            gram=gram * changes[:, :, None] * changes[:, None, :],
            cross=cross * changes[:, None, :],
            squares=self.squares - self.output_means.square(),
        )


def unfold_columns(
    images: Tensor,
    kernel: tuple[int, ...],
    *,
    stride: tuple[int, ...],
    dilation: tuple[int, ...] | None = None,
    groups: int = 1,
) -> Tensor:
    """Lower padded images, (N, C, H, W), to the columns that a convolution multiplies (im2col).

    Sequences, (N, C, L), are lowered as images of one row.

    Returns
    -------
    Tensor of the images' type, shape (groups, C / groups * Kh * Kw, N * positions)
    """
    dilation = dilation or (1,) * len(kernel)
    if images.ndim == 3:
        images, kernel = images.unsqueeze(2), (1, *kernel)
        stride, dilation = (1, *stride), (1, *dilation)
    columns = F.unfold(images, kernel, dilation, 0, stride)
    split = columns.reshape(len(images), groups, -1, columns.shape[-1])
    return split.permute(1, 2, 0, 3).flatten(2)
