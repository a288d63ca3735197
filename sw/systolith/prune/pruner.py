"""Pruners compute masks from pattern, score and schedule; they do not change the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from systolith.network import Pattern
from systolith.prune.decisions import weight_shape
from systolith.prune.filters_first import filters_first
from systolith.prune.masks import MaskSet
from systolith.prune.rules import check_patterns, prunable_layers
from systolith.prune.schedule import OneShot, Schedule
from systolith.prune.topk import topk_mask

__all__ = ["Pruner", "Score", "ScorePruner", "magnitude"]


class Score(Protocol):
    """Importance of each weight; higher scores are kept.

    A score is a pure function: it changes neither the weight nor itself. A score that needs more
    than the weight, such as a gradient, is an object that holds it by parameter name.
    """

    def __call__(self, name: str, weight: Tensor) -> Tensor:
        """Score one weight tensor.

        Parameters
        ----------
        name : str
            Qualified name of the parameter, such as ``"conv2.weight"``.
        weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
            The dense weights, with filters first.

        Returns
        -------
        Tensor of float, shape of weight
        """
        ...


def magnitude(name: str, weight: Tensor) -> Tensor:
    """Score by ``|w|``; the scores of a kernel add up to its L1 norm.

    Notes
    -----
    Han, Pool, Tran, Dally: Learning both weights and connections for efficient neural networks
    (NeurIPS 2015), section 3.
    """
    return weight.detach().abs()


class Pruner(Protocol):
    """Computes masks for a model as it is now."""

    def masks(self, model: nn.Module, progress: float = 1.0) -> MaskSet:
        """Compute the masks at one moment of training.

        Parameters
        ----------
        model : nn.Module
            Read, never changed.
        progress : float
            0 at the start of training, 1 at its end.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePruner:
    """Keeps the weights with the highest score that each layer's pattern allows.

    Parameters
    ----------
    patterns : mapping of str to Pattern
        By layer name; other layers stay dense.
    score : Score
        Importance of each weight.
    schedule : Schedule
        Pattern at each moment.
    """

    patterns: Mapping[str, Pattern]
    score: Score = magnitude
    schedule: Schedule = OneShot()

    def masks(self, model: nn.Module, progress: float = 1.0) -> MaskSet:
        """See :meth:`Pruner.masks`.

        Raises
        ------
        PruneError
            If a pattern does not fit its layer; all of them are listed.
        """
        check_patterns(model, self.patterns)
        layers = prunable_layers(model)
        masks, patterns = {}, {}
        for layer, final in self.patterns.items():
            weight, name = filters_first(layers[layer].weight, layers[layer]), f"{layer}.weight"
            patterns[name] = self.schedule.pattern(final, weight_shape(weight), progress)
            masks[name] = topk_mask(self.score(name, weight), patterns[name])
        return MaskSet.unchecked(masks, patterns)
