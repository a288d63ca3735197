"""Configurations of the methods that remove filters: plain values, one class per method."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from systolith.compress.budgets import MacBudget, ParameterBudget
from systolith.compress.methods.pruning import Pruning, SearchPruning
from systolith.foundation import kind_problems
from systolith.prune import FilterScore, PruneError

__all__ = [
    "DJPQPruning",
    "DPPFilterPruning",
    "EnsemblePruning",
    "FilterPruning",
    "FilterRemoval",
    "FilterScorePruning",
    "GDPPruning",
    "TaylorPruning",
]


@dataclass(frozen=True, kw_only=True)
class FilterRemoval(Pruning):
    """Remove filters from the network."""


@dataclass(frozen=True, kw_only=True)
class FilterPruning(FilterRemoval):
    """Remove the least important filters.

    Parameters
    ----------
    keep : float, MacBudget, ParameterBudget or tuple of these budgets
        Share of the filters to keep, 0..1; or a budget for the network; or several, and the network
        meets all.
    ratios : mapping of str to float
        Share of the filters to keep in layers whose names match a regular expression; later ones
        win. These layers take no part in the ranking; with ``keep=1.0``, no other filters leave.
    min_ratio : float
        Least share of its filters that every layer keeps, 0..1, rounded up.
    multiple_of : int
        Each layer keeps a multiple of this number of filters, so that they fill the hardware's
        lanes.
    """

    keep: float | MacBudget | ParameterBudget | tuple[MacBudget | ParameterBudget, ...]
    ratios: Mapping[str, float] = field(default_factory=dict)
    min_ratio: float = 0.1
    multiple_of: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.keep, tuple):
            return
        name = f"keep of {type(self).__name__}"
        if not self.keep:
            raise PruneError([f"{name} must have at least one budget, got none"])
        PruneError.raise_if_any(
            problem
            for budget in self.keep
            for problem in kind_problems(f"a budget in {name}", budget, MacBudget, ParameterBudget)
        )


@dataclass(frozen=True, kw_only=True)
class GDPPruning(FilterPruning):
    """Global and dynamic filter pruning, see :class:`~systolith.prune.GDP`.

    Parameters
    ----------
    per_cost : bool, optional
        Rank filters by saliency per unit of the budget, such as MACs; needs a budget. Default: if
        there is one.
    """

    method: ClassVar[str] = "gdp"
    per_cost: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per_cost and not isinstance(self.keep, MacBudget | ParameterBudget | tuple):
            raise PruneError(["prune: per_cost needs a budget of macs, got keep"])


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
        Random masks to evaluate in the first round; later ones have as many for each filter that is
        left. By default 5 for each, at least 1. Fewer than 3 rank filters hardly better than
        chance.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least(1, "members", "rounds")


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

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least(0, "information", "bit_operations")
