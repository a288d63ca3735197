"""The autoencoder for machine sounds, anomaly detection of MLPerf Tiny."""

from itertools import pairwise

from torch import Tensor, nn

from systolith.models._blocks import EPSILON, seeded

__all__ = ["DenseAutoencoder"]

WIDTHS = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
"""Features of the input and of each layer but the last."""


class DenseAutoencoder(nn.Module):
    """Ten linear layers with a bottleneck of 8 features; 264,192 MACs.

    267,928 trained parameters.

    Parameters
    ----------
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Banbury et al.: MLPerf Tiny benchmark (NeurIPS datasets and benchmarks 2021), anomaly detection;
    the baseline of Koizumi et al.: DCASE 2020 challenge, task 2. The input is five frames of a
    spectrogram of 128 bands. The error of the reconstruction, which the host computes, tells an
    anomaly.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.layers = nn.Sequential(
                nn.Flatten(), *(_layer(inputs, outputs) for inputs, outputs in pairwise(WIDTHS))
            )
            self.reconstruct = nn.Linear(WIDTHS[-1], WIDTHS[0])

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return reconstructions, (N, 640), of spectrograms, (N, 640) or images of 640 pixels."""
        reconstruction: Tensor = self.reconstruct(self.layers(spectrograms))
        return reconstruction


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, eps=EPSILON), nn.ReLU()
    )
