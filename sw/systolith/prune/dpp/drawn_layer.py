"""Masks of one layer: its decisions, and their logits."""

from enum import Enum

from torch import Generator, Tensor

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron
from systolith.prune.decisions import Decisions
from systolith.prune.dpp.mask_logits import MaskLogits

__all__ = ["DrawnLayer", "LogitInit"]

LINEAR_NOISE, CONVOLUTION_NOISE = 0.1, 0.01
WEIGHT_ENTROPY, KERNEL_ENTROPY = 5e-5, 1e-5


class LogitInit(Enum):
    """Initial mask logits."""

    RANDOM = "random"
    """Normal with standard deviation 0.5, as in the paper."""
    MAGNITUDE = "magnitude"
    """Weight magnitudes, standardized to the same deviation; for trained networks."""


class DrawnLayer:
    """Draws masks of one layer, and trains the probability of each decision.

    Parameters
    ----------
    pattern : Pattern
        Fits the weight.
    select : KOutOfN or PerNeuron
        Selection of the pattern.
    weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        Only shape and device matter.
    noise, entropy : float, optional
        See :class:`systolith.prune.DPP`.

    Attributes
    ----------
    decisions : Decisions
    logits : MaskLogits
    """

    def __init__(
        self,
        pattern: Pattern,
        select: KOutOfN | PerNeuron,
        weight: Tensor,
        *,
        noise: float | None,
        entropy: float | None,
    ) -> None:
        if noise is None:
            noise = LINEAR_NOISE if weight.ndim == 2 else CONVOLUTION_NOISE
        if entropy is None:
            kernel = isinstance(select, KOutOfN) and select.granularity is Granularity.KERNEL
            entropy = KERNEL_ENTROPY if kernel else WEIGHT_ENTROPY
        self.decisions = Decisions(pattern, select, weight)
        self.logits = MaskLogits(self.decisions.read, select.k, noise=noise, entropy=entropy)

    def start_(self, generator: Generator, weight: Tensor, init: LogitInit) -> None:
        """Set the logits, at random or by magnitude of the weights."""
        scores = self.decisions.rows(weight.detach().abs())
        self.logits.start_(generator, scores if init is LogitInit.MAGNITUDE else None)

    def mask(self, generator: Generator | None) -> Tensor:
        """Draw a mask in the shape of the weight; without a generator, return the final one."""
        return self.decisions.mask(
            self.logits.final_mask() if generator is None else self.logits.draw_mask(generator)
        )

    def learn_(self, at_mask: Tensor, temperature: float) -> None:
        """Add to the gradient of the logits.

        Parameters
        ----------
        at_mask : Tensor of float, shape of the weight
            Gradient at the mask of the latest draw.
        temperature : float
        """
        self.logits.learn_(self.decisions.rows(at_mask), temperature)
