"""Several patterns for one layer: masks of each, and what each would do to the loss."""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from systolith.network import Dense, Pattern
from systolith.prune.dpp.drawn_layer import DrawnLayer
from systolith.prune.topk import topk_mask

__all__ = ["LayerPatterns"]


class LayerPatterns:
    """Draws masks of any of one layer's patterns.

    Patterns that differ in k only are a family: they have the logits of a :class:`DrawnLayer` in
    common, and their masks of one draw are nested.

    Parameters
    ----------
    options : tuple of Pattern
        They fit the weight.
    weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        Only shape and device matter.
    noise, entropy : float, optional
        See :class:`DPP`.

    Attributes
    ----------
    families : dict of Pattern to DrawnLayer
        By their pattern with k = 1.
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
        """What draws masks of a pattern, with its k; None where nothing is chosen."""
        if isinstance(pattern.select, Dense):
            return None
        found = self.families[_family(pattern)]
        found.logits.k = pattern.select.k
        return found

    def mask(self, pattern: Pattern, generator: Generator | None) -> Tensor:
        """Mask in the shape of the weight: a draw, or without a generator, the final one."""
        family = self.family(pattern)
        if family is None:
            return topk_mask(torch.zeros_like(self._weight), pattern)
        return family.mask(generator)

    def scores(self, at_mask: Tensor, drawn: Pattern, generator: Generator) -> list[float]:
        """Tell what each pattern would do to the loss, by the gradient at the mask just drawn.

        Families that were not drawn are drawn for this.

        Parameters
        ----------
        at_mask : Tensor of float, shape of the weight
            ``g * W``, with g the gradient at ``mask * W``.
        drawn : Pattern
            Of that mask.

        Returns
        -------
        list of float
            ``<g * W, mask_q>`` of each pattern q.
        """
        of_model = self.family(drawn)
        rows = {}
        for key, family in self.families.items():
            if family is not of_model:
                family.mask(generator)
            rows[key] = family.decisions.rows(at_mask)
        found = []
        for pattern in self._options:
            if isinstance(pattern.select, Dense):
                kept = at_mask * self.mask(pattern, None)
            else:
                key = _family(pattern)
                kept = rows[key] * self.families[key].logits.had_kept(pattern.select.k)
            found.append(float(kept.sum(dtype=torch.float64)))
        return found


def _family(pattern: Pattern) -> Pattern:
    """Patterns that differ in k only have the same."""
    if isinstance(pattern.select, Dense):
        return pattern
    return replace(pattern, select=replace(pattern.select, k=1))
