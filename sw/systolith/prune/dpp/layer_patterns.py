"""Several patterns for one layer: a mask of each, and its effect on the loss."""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from systolith.network import Dense, Pattern
from systolith.prune.dpp.drawn_layer import DrawnLayer
from systolith.prune.topk import topk_mask

__all__ = ["LayerPatterns"]


class LayerPatterns:
    """Draws masks of any of one layer's patterns.

    Patterns that differ in k only form a family: they share the logits of a :class:`DrawnLayer`,
    and their masks of one draw are nested.

    Parameters
    ----------
    options : tuple of Pattern
        Each fits the weight.
    weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        Only shape and device matter.
    noise, entropy : float, optional
        See :class:`systolith.prune.DPP`.

    Attributes
    ----------
    families : dict of Pattern to DrawnLayer
        By pattern with k = 1.
    """

    def __init__(
        self,
        options: tuple[Pattern, ...],
        weight: Tensor,
        *,
        noise: float | None,
        entropy: float | None,
    ) -> None:
        self._options = options
        self._weight = weight.detach()
        self.families: dict[Pattern, DrawnLayer] = {}
        for pattern in options:
            if not isinstance(pattern.select, Dense) and _family(pattern) not in self.families:
                self.families[_family(pattern)] = DrawnLayer(
                    pattern, pattern.select, weight, noise=noise, entropy=entropy
                )

    def family(self, pattern: Pattern) -> DrawnLayer | None:
        """Return what draws masks of a pattern, with k set; None for a pattern without a choice."""
        if isinstance(pattern.select, Dense):
            return None
        family = self.families[_family(pattern)]
        family.logits.k = pattern.select.k
        return family

    def mask(self, pattern: Pattern, generator: Generator | None) -> Tensor:
        """Draw a mask in the shape of the weight; without a generator, return the final one."""
        family = self.family(pattern)
        if family is None:
            return topk_mask(torch.zeros_like(self._weight), pattern)
        return family.mask(generator)

    def scores(self, at_mask: Tensor, drawn: Pattern, generator: Generator) -> list[float]:
        """Estimate each pattern's effect on the loss, by the gradient at the latest mask.

        Families without a draw in this step are drawn first.

        Parameters
        ----------
        at_mask : Tensor of float, shape of the weight
            ``g * W``, with g the gradient at ``mask * W``.
        drawn : Pattern
            Pattern of that mask.
        generator : Generator

        Returns
        -------
        list of float
            ``<g * W, mask_q>`` for each pattern q.
        """
        of_model = self.family(drawn)
        rows = {}
        for key, family in self.families.items():
            if family is not of_model:
                family.mask(generator)
            rows[key] = family.decisions.rows(at_mask)
        scores = []
        for pattern in self._options:
            if isinstance(pattern.select, Dense):
                kept = at_mask * self.mask(pattern, None)
            else:
                key = _family(pattern)
                kept = rows[key] * self.families[key].logits.mask_for(pattern.select.k)
            scores.append(float(kept.sum(dtype=torch.float64)))
        return scores


def _family(pattern: Pattern) -> Pattern:
    """Return the pattern with k = 1, which names its family."""
    if isinstance(pattern.select, Dense):
        return pattern
    return replace(pattern, select=replace(pattern.select, k=1))
