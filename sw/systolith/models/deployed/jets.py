"""The network for jets that hls4ml began with."""

from torch import Tensor, nn

from systolith.models._blocks import seeded

__all__ = ["JetMLP"]


class JetMLP(nn.Module):
    """``16 - 64 - 32 - 32 - 5``, fully connected; 4,389 parameters, 4,256 MACs.

    Parameters
    ----------
    classes : int
        Number of logits: gluon, light quark, W, Z, top.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Duarte et al.: Fast inference of deep neural networks in FPGAs for particle physics (JINST 13,
    2018), section 2. The inputs are 16 variables of a jet's substructure.
    """

    def __init__(self, classes: int = 5, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.layers = nn.Sequential(
                nn.Flatten(),
                nn.Linear(16, 64),
                nn.ReLU(),
                nn.Linear(64, 32),
                nn.ReLU(),
                nn.Linear(32, 32),
                nn.ReLU(),
                nn.Linear(32, classes),
            )

    def forward(self, variables: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of variables, shape (N, 16) or (N, 16, 1, 1)."""
        logits: Tensor = self.layers(variables)
        return logits
