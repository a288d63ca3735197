"""Configurations of the pruning methods: plain values, one class per method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from systolith.compress.budgets import MacBudget, ParameterBudget, PatternChoice
from systolith.network import Pattern
from systolith.prune import (
    Cubic,
    FilterScore,
    LogitInit,
    Loss,
    OneShot,
    PruneError,
    Schedule,
    StridedPattern,
)

__all__ = [
    "ADMMPruning",
    "DJPQPruning",
    "DPFPruning",
    "DPPFilterPruning",
    "DPPPruning",
    "EnsemblePruning",
    "FilterPruning",
    "FilterRemoval",
    "FilterScorePruning",
    "GDPPruning",
    "JointPruning",
    "MagnitudePruning",
    "OBSPruning",
    "ParticlePruning",
    "Pruning",
    "Rules",
    "SPPPruning",
    "SRSTEPruning",
    "SearchPruning",
    "TaylorPruning",
    "WeightPruning",
    "WeightScore",
]

Rules = Sequence[tuple[str, Pattern | StridedPattern]]
"""Regular expressions for layer names, each with a pattern; later rules win."""


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What every pruning method has.

    Parameters
    ----------
    epochs : int, optional
        Epochs of training while pruning; by default the recipe's.
    finetune_epochs : int
        Epochs of training afterwards, with masks fixed.
    learning_rate : float, optional
        Highest learning rate of both; by default the recipe's for pruning.
    """

    method: ClassVar[str]
    """Name in messages and in names of checkpoints."""
    epochs: int | None = None
    finetune_epochs: int = 0
    learning_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class SearchPruning(Pruning):
    """Evaluate masks by forward passes.

    Parameters
    ----------
    images : int
        Training images that are held out to evaluate masks.
    """

    images: int = 1000


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
        if not self.damping > 0 or self.images < 1:
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
        if self.kernels is None and self.stride is None:
            raise PruneError(["particle pruning needs kernels, a stride, or both"])


@dataclass(frozen=True, kw_only=True)
class FilterRemoval(Pruning):
    """Remove filters from the network."""


@dataclass(frozen=True, kw_only=True)
class FilterPruning(FilterRemoval):
    """Remove the least important filters.

    Parameters
    ----------
    keep : float, MacBudget or ParameterBudget
        Share of the filters to keep, 0..1; or a budget for the network.
    ratios : mapping of str to float
        Share of the filters to keep in layers whose names match a regular expression; later ones
        win. These layers take no part in the ranking; with ``keep=1.0``, no other filters leave.
    least : float
        Least share of its filters that every layer keeps, 0..1, rounded up.
    multiple_of : int
        Each layer keeps a multiple of this number of filters, so that they fill the hardware's
        lanes.
    """

    keep: float | MacBudget | ParameterBudget
    ratios: Mapping[str, float] = field(default_factory=dict)
    least: float = 0.1
    multiple_of: int = 1


@dataclass(frozen=True, kw_only=True)
class GDPPruning(FilterPruning):
    """Global and dynamic filter pruning, see :class:`~systolith.prune.GDP`.

    Parameters
    ----------
    per_mac : bool, optional
        Rank filters by saliency per unit of the budget, such as MACs; needs a budget. Default: if
        there is one.
    """

    method: ClassVar[str] = "gdp"
    per_mac: bool | None = None

    def __post_init__(self) -> None:
        if self.per_mac and not isinstance(self.keep, MacBudget | ParameterBudget):
            raise PruneError(["prune: per_mac needs a budget of macs, got keep"])


@dataclass(frozen=True, kw_only=True)
class FilterScorePruning(FilterPruning):
    """Remove the filters with the lowest scores at once, then train the smaller network.

    Parameters
    ----------
    score : FilterScore
        See :func:`~systolith.prune.score_filters`.
    per_layer : bool
        Remove the same share of each layer instead of ranking all layers together.
    reconstruct : bool
        Give the layers behind removed filters new weights by least squares, see
        :func:`~systolith.prune.reconstruct_consumers_`.
    """

    method: ClassVar[str] = "filters"
    score: FilterScore = FilterScore.L1
    per_layer: bool = False
    reconstruct: bool = True


@dataclass(frozen=True, kw_only=True)
class TaylorPruning(FilterPruning):
    """Taylor importance of gates, see :class:`~systolith.prune.TaylorGates`."""

    method: ClassVar[str] = "taylor"


@dataclass(frozen=True, kw_only=True)
class EnsemblePruning(FilterPruning, SearchPruning):
    """Linear filter ensembles, see :func:`~systolith.prune.prune_by_ensembles`.

    Parameters
    ----------
    members : int, optional
        Random masks to evaluate in each round; by default 5 for each filter that is left. Fewer
        than 3 rank filters hardly better than chance.
    rounds : int
        Rounds of evaluation and removal. A third of the epochs of training is between them.
    reconstruct : bool
        As for :class:`FilterScorePruning`, after each round.
    """

    method: ClassVar[str] = "lfe"
    images: int = 500
    members: int | None = None
    rounds: int = 5
    reconstruct: bool = True


@dataclass(frozen=True, kw_only=True)
class DPPFilterPruning(FilterPruning):
    """Dynamic probabilistic pruning of filters: every layer keeps the same share.

    Parameters
    ----------
    taylor_init : bool
        Initialize logits with Taylor scores of the trained network; at random otherwise, as in the
        paper.
    """

    method: ClassVar[str] = "dpp-filters"
    taylor_init: bool = True


@dataclass(frozen=True, kw_only=True)
class DJPQPruning(FilterRemoval):
    """Learn gates of filters together with bit widths, see :class:`~systolith.quant.DJPQ`.

    Parameters
    ----------
    information : float
        Weight of open gates in the loss.
    bit_operations : float
        Weight of the network's bit operations in the loss, relative to 8 bits and no pruning.
    power_of_two : bool
        Restrict widths to 2, 4 and 8 bits.
    """

    method: ClassVar[str] = "djpq"
    information: float = 1e-3
    bit_operations: float = 0.1
    power_of_two: bool = False
