"""DS-CNN, the keyword spotting network of MLPerf Tiny."""

from torch import Tensor, nn

from systolith.models._blocks import EPSILON, SeparableConv, seeded

__all__ = ["DSCNN"]


class DSCNN(nn.Module):
    """A strided 10x4 convolution and four depthwise-separable ones, 64 filters each; 2.66 M MACs.

    23,756 trained parameters; with the 1,152 running statistics of batch norms, 24,908.

    Parameters
    ----------
    classes : int
        Number of logits: ten words, silence, and any other word.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Banbury et al.: MLPerf Tiny benchmark (NeurIPS datasets and benchmarks 2021), keyword spotting;
    after Zhang, Suda, Lai, Chandra: Hello edge: keyword spotting on microcontrollers (2017). The
    input is a spectrogram as an image of one channel: 49 steps in time, 10 coefficients each. The
    first convolution pads as TensorFlow's "same" does: 4 rows at the top, 5 at the bottom, 1 column
    at both sides.

    **Deviation:** the last pool is global; the reference's, 24x5, leaves out the last row of the
    25x5 feature maps. Weights start He-normal.
    """

    def __init__(self, classes: int = 12, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.pad = nn.ZeroPad2d((1, 1, 4, 5))
            self.conv = nn.Conv2d(1, 64, (10, 4), stride=2)
            self.bn = nn.BatchNorm2d(64, eps=EPSILON)
            self.relu = nn.ReLU()
            self.dropout1 = nn.Dropout(0.2)
            self.blocks = nn.Sequential(*(SeparableConv(64, 64) for _ in range(4)))
            self.dropout2 = nn.Dropout(0.4)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.flatten = nn.Flatten()
            self.fc = nn.Linear(64, classes)
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(module.weight)

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Logits, shape (N, classes), of spectrograms, shape (N, 1, 49, 10)."""
        x = self.dropout1(self.relu(self.bn(self.conv(self.pad(spectrograms)))))
        x = self.pool(self.dropout2(self.blocks(x)))
        logits: Tensor = self.fc(self.flatten(x))
        return logits
