"""The two small networks for handwritten digits that pruning is compared on since 2015."""

from torch import Tensor, nn

from systolith.models._blocks import seeded

__all__ = ["LeNet5", "LeNet300_100"]


class LeNet300_100(nn.Module):
    """``784 - 300 - 100 - 10``, fully connected; 266,610 parameters, 266,200 MACs.

    Parameters
    ----------
    classes : int
        Number of logits.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition (Proc.
    IEEE 1998), section III; parameters as counted by Han, Pool, Tran, Dally: Learning both weights
    and connections for efficient neural networks (NeurIPS 2015), table 3.

    **Deviation:** ReLU in place of the scaled hyperbolic tangent, as in the pruning literature.
    """

    def __init__(self, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.flatten = nn.Flatten()
            self.fc1 = nn.Linear(784, 300)
            self.relu1 = nn.ReLU()
            self.fc2 = nn.Linear(300, 100)
            self.relu2 = nn.ReLU()
            self.fc3 = nn.Linear(100, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 1, 28, 28)."""
        x = self.relu1(self.fc1(self.flatten(images)))
        logits: Tensor = self.fc3(self.relu2(self.fc2(x)))
        return logits


class LeNet5(nn.Module):
    """``20C5 - MP2 - 50C5 - MP2 - 500FC - 10``; 431,080 parameters, 2,293,000 MACs.

    Parameters
    ----------
    classes : int
        Number of logits.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    The network of Caffe's MNIST example (Jia et al.: Caffe, ACM Multimedia 2014), named after the
    smaller one of LeCun et al. (1998), and the one that Han et al. (NeurIPS 2015, table 4) and most
    others prune.

    **Deviation:** a ReLU after each convolution; Caffe's only has the one after the first linear
    layer. So activations are unsigned, and need no bit for the sign.
    """

    def __init__(self, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.conv1 = nn.Conv2d(1, 20, 5)
            self.relu1 = nn.ReLU()
            self.pool1 = nn.MaxPool2d(2)
            self.conv2 = nn.Conv2d(20, 50, 5)
            self.relu2 = nn.ReLU()
            self.pool2 = nn.MaxPool2d(2)
            self.flatten = nn.Flatten()
            self.fc1 = nn.Linear(50 * 4 * 4, 500)
            self.relu3 = nn.ReLU()
            self.fc2 = nn.Linear(500, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 1, 28, 28)."""
        x = self.pool1(self.relu1(self.conv1(images)))
        x = self.pool2(self.relu2(self.conv2(x)))
        logits: Tensor = self.fc2(self.relu3(self.fc1(self.flatten(x))))
        return logits
