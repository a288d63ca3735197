"""The VGG-like network for CIFAR-10 from the paper on structured pruning."""

from torch import Tensor, nn

from systolith.models._blocks import seeded

__all__ = ["CifarVGG"]


class CifarVGG(nn.Module):
    """``2x128C3 - MP2 - 2x128C3 - MP2 - 2x256C3 - MP2 - 256FC - 10``; 287 M MACs on 32x32 images.

    Parameters
    ----------
    classes : int
        Number of logits.
    width : int
        Filters of the first four convolutions; the last two have twice as many.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Anwar, Hwang, Sung: Structured pruning of deep convolutional neural networks (ACM JETC 13(3),
    2017), the network for CIFAR-10.

    **Deviation:** batch norm after every convolution, for faster training.
    """

    def __init__(self, classes: int = 10, width: int = 128, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.features = nn.Sequential(
                *_convolution(3, width),
                *_convolution(width, width),
                nn.MaxPool2d(2),
                *_convolution(width, width),
                *_convolution(width, width),
                nn.MaxPool2d(2),
                *_convolution(width, 2 * width),
                *_convolution(2 * width, 2 * width),
                nn.MaxPool2d(2),
            )
            self.flatten = nn.Flatten()
            self.fc1 = nn.Linear(2 * width * 4 * 4, 256)
            self.relu = nn.ReLU()
            self.fc2 = nn.Linear(256, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 3, 32, 32)."""
        x = self.relu(self.fc1(self.flatten(self.features(images))))
        logits: Tensor = self.fc2(x)
        return logits


def _convolution(inputs: int, filters: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(inputs, filters, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return conv, nn.BatchNorm2d(filters), nn.ReLU()
