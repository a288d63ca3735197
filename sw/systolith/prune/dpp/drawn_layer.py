"""Trained odds of one layer's masks: its decisions, and their logits."""

from enum import Enum

from torch import Generator, Tensor

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron
from systolith.prune.decisions import Decisions
from systolith.prune.dpp.mask_logits import MaskLogits

__all__ = ["DrawnLayer", "LogitInit"]

LINEAR_NOISE, CONVOLUTION_NOISE = 0.1, 0.01
WEIGHT_ENTROPY, KERNEL_ENTROPY = 5e-5, 1e-5


class LogitInit(Enum):
    """Where mask logits start."""

    RANDOM = "random"
    """Normal with deviation 0.5, as in the paper: nothing is known."""
    MAGNITUDE = "magnitude"
    """By the weights' size, standardized to the same deviation: for networks that are trained."""


class DrawnLayer:
    """Draws masks of one layer, and trains the odds of each decision.

    Parameters
    ----------
    pattern : Pattern
        It fits the weight.
    select : KOutOfN or PerNeuron
        Its selection.
    weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        Only shape and device matter.
    noise, entropy : float, optional
        See :class:`DPP`.

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
        """Set the logits, at random or by the weights' size."""
        scores = self.decisions.rows(weight.detach().abs())
        self.logits.start_(generator, scores if init is LogitInit.MAGNITUDE else None)

    def mask(self, generator: Generator | None) -> Tensor:
        """Mask in the shape of the weight: a draw, or without a generator, the final one."""
        return self.decisions.mask(
            self.logits.final() if generator is None else self.logits.draw(generator)
        )

    def learn_(self, at_mask: Tensor, temperature: float) -> None:
        """Add to the logits' gradient, given the one at the latest mask, in its shape."""
        self.logits.learn_(self.decisions.rows(at_mask), temperature)
