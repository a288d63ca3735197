"""Integer layers that move values, as PyTorch modules: int64 in, int64 out."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import Padding

__all__ = [
    "IntegerConcat",
    "IntegerDepthToSpace",
    "IntegerFlatten",
    "IntegerPad2d",
    "IntegerSelectChannels",
    "IntegerSpaceToDepth",
    "IntegerUpsample",
    "surround",
]


class IntegerPad2d(nn.Module):
    """Rows and columns of `value`, or of the border, added; negative ones cut off."""

    def __init__(self, *, padding: Padding, value: int = 0, edge: bool = False) -> None:
        super().__init__()
        self.padding = padding
        self.value = value
        self.edge = edge

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, Ho, Wo)."""
        if not self.edge:
            return surround(x, self.padding, self.value)
        top, bottom, left, right = self.padding
        _, _, height, width = x.shape
        rows = torch.arange(-top, height + bottom).clamp(0, height - 1)
        columns = torch.arange(-left, width + right).clamp(0, width - 1)
        return x[:, :, rows][:, :, :, columns]


class IntegerUpsample(nn.Module):
    """Nearest neighbours at whole multiples of the size."""

    def __init__(self, *, factors: tuple[int, int]) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), or vectors (N, C), to (N, C, Ho, Wo)."""
        images = x.double().reshape(*x.shape[:2], *(x.shape[2:] or (1, 1)))
        larger = F.interpolate(images, scale_factor=self.factors, mode="nearest-exact")
        return larger.to(torch.int64)


class IntegerFlatten(nn.Module):
    """Images as vectors, channels outermost."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C*H*W)."""
        return torch.flatten(x, start_dim=1)


class IntegerConcat(nn.Module):
    """Channels of several tensors, one tensor after the other."""

    def forward(self, *values: Tensor) -> Tensor:
        """Tensors (N, C, ...) to (N, sum of C, ...)."""
        return torch.cat(values, dim=1)


class IntegerSelectChannels(nn.Module):
    """Some channels, in any order."""

    channels: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("channels", torch.tensor(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, channels, ...)."""
        return x.index_select(1, self.channels)


class IntegerDepthToSpace(nn.Module):
    """Channels as pixels; the position in a block is the outer part of a channel's number."""

    def __init__(self, block: tuple[int, int]) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(N, C*r*b, H, W) to (N, C, H*r, W*b)."""
        rows, columns = self.block
        parts = x.chunk(rows * columns, 1)
        lines = [
            torch.stack(parts[first : first + columns], 4).flatten(3, 4)
            for first in range(0, rows * columns, columns)
        ]
        return torch.stack(lines, 3).flatten(2, 3)


class IntegerSpaceToDepth(nn.Module):
    """Pixels as channels; the position in a block is the outer part of a channel's number."""

    def __init__(self, block: tuple[int, int]) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H*r, W*b) to (N, C*r*b, H, W)."""
        rows, columns = self.block
        positions = product(range(rows), range(columns))
        return torch.cat([x[:, :, i::rows, j::columns] for i, j in positions], 1)


def surround(x: Tensor, padding: Sequence[int], value: float) -> Tensor:
    """Add rows and columns of one value around images; padding is (top, bottom, left, right)."""
    top, bottom, left, right = padding
    return F.pad(x, (left, right, top, bottom), value=value)
