"""A residual network for one channel of an electrocardiogram."""

from torch import Tensor, nn

from systolith.models._blocks import seeded

__all__ = ["HeartbeatNet"]


class HeartbeatNet(nn.Module):
    """Residual 1-D convolutions of 5 taps over one heartbeat of 187 samples, 5 classes.

    Parameters
    ----------
    classes : int
        Number of logits: the five groups of beats of the AAMI.
    width : int
        Filters of each convolution; 32 in the paper.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Kachuee, Fazeli, Sarrafzadeh: ECG heartbeat classification: a deep transferable representation
    (ICHI 2018), section III.

    **Deviation:** three residual blocks in place of five, 16 filters in place of 32.
    """

    def __init__(self, classes: int = 5, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.stem = nn.Conv1d(1, width, 5, padding=2)
            self.blocks = nn.Sequential(*(_Block(width) for _ in range(3)))
            self.flatten = nn.Flatten()
            self.fc1 = nn.Linear(width * 20, 32)
            self.relu = nn.ReLU()
            self.fc2 = nn.Linear(32, classes)

    def forward(self, beats: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of beats, shape (N, 1, 187)."""
        x = self.flatten(self.blocks(self.stem(beats)))
        logits: Tensor = self.fc2(self.relu(self.fc1(x)))
        return logits


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 5, padding=2)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv1d(width, width, 5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool1d(5, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.relu1(self.conv1(x)))
        out: Tensor = self.pool(self.relu2(x + y))
        return out
