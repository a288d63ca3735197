"""Configurations of the methods that mask weights: plain values, one class per method."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any, ClassVar

from systolith.compress.budgets import PatternChoice
from systolith.compress.methods.pruning import Pruning, SearchPruning
from systolith.foundation import kind_problems, show_value
from systolith.network import Pattern
from systolith.prune import Cubic, LogitInit, Loss, OneShot, PruneError, Schedule, StridedPattern

__all__ = [
    "ADMMPruning",
    "DPFPruning",
    "DPPPruning",
    "JointPruning",
    "MagnitudePruning",
    "OBSPruning",
    "ParticlePruning",
    "Rules",
    "SPPPruning",
    "SRSTEPruning",
    "WeightPruning",
    "WeightScore",
]

Rules = Sequence[tuple[str, Pattern | StridedPattern]]
"""Regular expressions for layer names, each with a pattern; later rules win."""


@dataclass(frozen=True, kw_only=True)
class WeightPruning(Pruning):
    """Mask weights.

    Parameters
    ----------
    patterns : rules, mapping of str to Pattern, or PatternChoice
        Rules, as for :func:`~systolith.prune.match_patterns`; patterns by layer name; or patterns
        to choose from for a budget.
    """

    patterns: Rules | Mapping[str, Pattern] | PatternChoice

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.patterns, PatternChoice):
            PruneError.raise_if_any(_entry_problems(self.patterns))


@dataclass(frozen=True, kw_only=True)
class JointPruning(WeightPruning):
    """Mask weights before or during quantized training.

    Parameters
    ----------
    joint : bool
        Prune during quantized training instead of before.
    """

    joint: bool = False


class WeightScore(Enum):
    """What magnitude pruning ranks weights by."""

    MAGNITUDE = "magnitude"
    WANDA = "wanda"
    """Times the norm of the inputs that the weight multiplies, on the calibration images."""


@dataclass(frozen=True, kw_only=True)
class MagnitudePruning(WeightPruning):
    """Keep the weights of greatest magnitude.

    Parameters
    ----------
    score : WeightScore
        Magnitude, or magnitude times the norm of the inputs.
    schedule : Schedule
        When the layers reach their patterns. With :class:`~systolith.prune.OneShot` the masks stay
        as they are at the start.
    """

    method: ClassVar[str] = "magnitude"
    score: WeightScore = WeightScore.MAGNITUDE
    schedule: Schedule = OneShot()


@dataclass(frozen=True, kw_only=True)
class OBSPruning(WeightPruning):
    """Mask weights and change the kept ones by least squares, without training.

    See :class:`~systolith.prune.ReconstructingPruner`. A budget chooses patterns by the error of
    each layer's outputs. Training with fixed masks may follow: `epochs` or `finetune_epochs`.

    Parameters
    ----------
    images : int
        Training images that the layers' inputs are measured on.
    damping : float
        Share of the mean square of the inputs, above 0.
    """

    method: ClassVar[str] = "obs"
    epochs: int | None = 0
    images: int = 512
    damping: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.damping < inf or self.images < 1:
            got = f"damping={self.damping}, images={self.images}"
            raise PruneError([f"obs needs damping above 0 and at least 1 image, got {got}"])


@dataclass(frozen=True, kw_only=True)
class SRSTEPruning(JointPruning):
    """Sparse-refined straight-through estimator, see :class:`~systolith.prune.SRSTE`.

    Parameters
    ----------
    schedule : Schedule
        When the layers reach their patterns.
    decay : float
        Pull of pruned weights towards zero.
    """

    method: ClassVar[str] = "sr-ste"
    schedule: Schedule = OneShot()
    decay: float = 2e-4


@dataclass(frozen=True, kw_only=True)
class DPPPruning(JointPruning):
    """Dynamic probabilistic pruning, see :class:`~systolith.prune.DPP`.

    Parameters
    ----------
    init : LogitInit
        Initial logits.
    learn_patterns : bool
        Learn during training which pattern each layer gets, instead of choosing by magnitude.
        Needs a :class:`PatternChoice`.
    """

    method: ClassVar[str] = "dpp"
    init: LogitInit = LogitInit.MAGNITUDE
    learn_patterns: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learn_patterns and not isinstance(self.patterns, PatternChoice):
            raise PruneError(["learn_patterns needs a budget to choose patterns for, got rules"])


@dataclass(frozen=True, kw_only=True)
class DPFPruning(JointPruning):
    """Dynamic pruning with feedback, see :class:`~systolith.prune.DPF`.

    Parameters
    ----------
    schedule : Schedule
        When the layers reach their patterns.
    """

    method: ClassVar[str] = "dpf"
    schedule: Schedule = Cubic()


@dataclass(frozen=True, kw_only=True)
class ADMMPruning(WeightPruning):
    """Weights are pulled towards the pattern, then cut, see :class:`~systolith.prune.ADMM`.

    Parameters
    ----------
    rho : float
        Strength of the pull, positive.
    """

    method: ClassVar[str] = "admm"
    rho: float = 0.1


@dataclass(frozen=True, kw_only=True)
class SPPPruning(WeightPruning):
    """Structured probabilistic pruning, see :class:`~systolith.prune.SPP`."""

    method: ClassVar[str] = "spp"


@dataclass(frozen=True, kw_only=True)
class ParticlePruning(SearchPruning):
    """Search masks of convolutions by forward passes, then train with them.

    Parameters
    ----------
    layers : str
        Regular expression for layer names.
    kernels : float, optional
        Share of each filter's kernels to keep, 0..1.
    stride : int, optional
        Keep every stride-th tap.
    particles, generations : int
        Size and number of populations of the search.
    loss : Loss
        What masks are compared by on held-out images; Anwar et al. count misclassifications.
    random_search : bool
        Take the best of as many random masks instead, as an ablation.
    """

    method: ClassVar[str] = "particles"
    layers: str = ".*"
    kernels: float | None = None
    stride: int | None = None
    particles: int = 50
    generations: int = 10
    loss: Loss = Loss.CROSS_ENTROPY
    random_search: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least(1, "particles", "generations")
        if self.kernels is None and self.stride is None:
            raise PruneError(["particle pruning needs kernels, a stride, or both"])


def _entry_problems(patterns: Sequence[Any] | Mapping[Any, Any]) -> Iterator[str]:
    entries: Iterable[Any] = patterns.items() if isinstance(patterns, Mapping) else patterns
    if isinstance(patterns, str):
        entries = [patterns]
    for entry in entries:
        match entry:
            case (str(name), pattern):
                yield from kind_problems(f"pattern of '{name}'", pattern, Pattern, StridedPattern)
            case _:
                yield f"patterns must be pairs of a rule and a Pattern, got {show_value(entry)}"
