"""What the two networks of depthwise-separable convolutions are made of."""

from torch import Tensor, nn

__all__ = ["EPSILON", "SeparableConv"]

EPSILON = 1e-3
"""Of batch norms, as Keras has it."""


class SeparableConv(nn.Module):
    """A 3x3 depthwise convolution, then a 1x1 one; bias, batch norm and ReLU after each.

    Parameters
    ----------
    inputs, filters : int
        Channels before and after.
    stride : int
        1, with a pixel of padding all around; or 2, with padding at the bottom and right only:
        what TensorFlow's "same" is for images of even height and width.
    """

    def __init__(self, inputs: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        strided = stride > 1
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if strided else nn.Identity()
        self.depthwise = nn.Conv2d(
            inputs, inputs, 3, stride=stride, padding=0 if strided else 1, groups=inputs
        )
        self.bn1 = nn.BatchNorm2d(inputs, eps=EPSILON)
        self.relu1 = nn.ReLU()
        self.pointwise = nn.Conv2d(inputs, filters, 1)
        self.bn2 = nn.BatchNorm2d(filters, eps=EPSILON)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Activations, shape (N, filters, H / stride, W / stride), of x, shape (N, inputs, H, W).

        H and W are multiples of the stride.
        """
        x = self.relu1(self.bn1(self.depthwise(self.pad(x))))
        out: Tensor = self.relu2(self.bn2(self.pointwise(x)))
        return out
