"""VGG10 for modulations of radio signals."""

from torch import Tensor, nn

from systolith.models._blocks import seeded

__all__ = ["RadioVGG10"]


class RadioVGG10(nn.Module):
    """Seven 1-D convolutions of 3 taps with max pools, three linear layers; 24 modulations.

    Parameters
    ----------
    classes : int
        Number of logits.
    width : int
        Filters of each convolution, 64 in the paper; linear layers have twice as many features.
    samples : int
        Samples of I and Q, 1,024 in RadioML 2018.01A; a multiple of 128.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    O'Shea, Roy, Clancy: Over-the-air deep learning based radio signal classification (IEEE JSTSP
    2018), table III; the network of FINN's RadioML example.
    """

    def __init__(
        self, classes: int = 24, width: int = 64, samples: int = 1024, seed: int = 0
    ) -> None:
        super().__init__()
        with seeded(seed):
            self.features = nn.Sequential(
                *_convolution(2, width),
                *(layer for _ in range(6) for layer in _convolution(width, width)),
            )
            self.classifier = nn.Sequential(
                nn.Flatten(),
                nn.Linear(width * (samples // 128), 2 * width),
                nn.ReLU(),
                nn.Linear(2 * width, 2 * width),
                nn.ReLU(),
                nn.Linear(2 * width, classes),
            )

    def forward(self, signals: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of signals, shape (N, 2, samples)."""
        logits: Tensor = self.classifier(self.features(signals))
        return logits


def _convolution(inputs: int, filters: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv1d(inputs, filters, 3, padding=1, bias=False),
        nn.BatchNorm1d(filters),
        nn.ReLU(),
        nn.MaxPool1d(2),
    )
