"""ESPCN, super-resolution with a pixel shuffle at its end."""

from torch import Tensor, nn

from systolith.models._blocks import seeded

__all__ = ["ESPCN"]


class ESPCN(nn.Module):
    """``64C5 - 32C3 - 9C3`` with tanh, then a pixel shuffle by 3; 13.0 M MACs on 24x24 images.

    22,729 parameters.

    Parameters
    ----------
    upscale : int
        Factor of height and width.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Shi et al.: Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network (CVPR 2016), section 3.2. The image is its luminance. Tanh is a
    table in hardware.
    """

    def __init__(self, upscale: int = 3, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.conv1 = nn.Conv2d(1, 64, 5, padding=2)
            self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
            self.conv3 = nn.Conv2d(32, upscale**2, 3, padding=1)
            self.tanh = nn.Tanh()
            self.shuffle = nn.PixelShuffle(upscale)

    def forward(self, images: Tensor) -> Tensor:
        """Return images, (N, 1, upscale * H, upscale * W), of images, (N, 1, H, W)."""
        x = self.tanh(self.conv1(images))
        x = self.tanh(self.conv2(x))
        larger: Tensor = self.shuffle(self.conv3(x))
        return larger
