"""Budgets of a network: shares of its MACs or weights, or cycles of the hardware."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor, nn

from systolith.foundation import kind_problems
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    PatternCost,
    PruneError,
    allocate_patterns,
    magnitude_losses,
    prunable_layers,
    reconstruction_losses,
    weight_cost,
)
from systolith.prune.rules import misfits

__all__ = [
    "CycleBudget",
    "HardwareCost",
    "MacBudget",
    "ParameterBudget",
    "PatternBudget",
    "PatternChoice",
    "choose_patterns",
    "pattern_budget",
]


class HardwareCost(Protocol):
    """Cycles per frame of a network as a function of its patterns."""

    def __call__(self, patterns: Mapping[str, Pattern]) -> float:
        """Return the cycles per frame with these patterns by layer name; other layers are dense."""
        ...

    def problems(self, name: str, pattern: Pattern) -> Iterator[str]:
        """Say why the hardware cannot compute a layer under a pattern; yields nothing if it can."""
        ...


@dataclass(frozen=True, slots=True)
class MacBudget:
    """Multiply-accumulates per image, as a share of the dense network's, 0..1."""

    share: float

    def __post_init__(self) -> None:
        PruneError.raise_if_any(kind_problems("share of a MacBudget", self.share, float))


@dataclass(frozen=True, slots=True)
class ParameterBudget:
    """Weights, as a share of the dense network's, 0..1."""

    share: float

    def __post_init__(self) -> None:
        PruneError.raise_if_any(kind_problems("share of a ParameterBudget", self.share, float))


@dataclass(frozen=True, slots=True)
class CycleBudget:
    """Cycles per frame on hardware that `cost` knows.

    Parameters
    ----------
    cycles : int
        Most cycles per frame.
    cost : callable
        Called with a model and images of its input shape; returns a :class:`HardwareCost`.
    """

    cycles: int
    cost: Callable[[nn.Module, Tensor], HardwareCost]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternChoice:
    """Patterns to choose from, layer by layer, so that the network meets a budget.

    Parameters
    ----------
    budget : MacBudget, ParameterBudget or CycleBudget
    candidates : tuple of Pattern
        Each layer gets one that fits it, or stays dense. The first layer stays dense.
    """

    budget: MacBudget | ParameterBudget | CycleBudget
    candidates: tuple[Pattern, ...] = tuple(
        Pattern(select=KOutOfN(k, n)) for k, n in ((2, 4), (1, 4), (2, 8), (1, 8))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternBudget:
    """The budget of one model, in terms of its patterns.

    Parameters
    ----------
    candidates : mapping of str to list of Pattern
        Patterns that fit, besides dense, by layer name; layers without any are left out.
    cost : PatternCost
    limit : float
        Highest allowed cost.
    slope : PatternCost
        A sum over layers to which `cost` is roughly proportional. For cycles these are kept MACs:
        with balanced arrays, cycles are kept MACs over multipliers.
    """

    candidates: Mapping[str, list[Pattern]]
    cost: PatternCost
    limit: float
    slope: PatternCost

    def renamed(self, names: Mapping[str, str]) -> "PatternBudget":
        """Return the same budget for a model with other layer names.

        Parameters
        ----------
        names : mapping of str to str
            From the names here to the new ones.
        """
        old_names = {new: old for old, new in names.items()}

        def rename(cost: PatternCost) -> PatternCost:
            return lambda patterns: cost({old_names[name]: p for name, p in patterns.items()})

        candidates = {names[name]: patterns for name, patterns in self.candidates.items()}
        return replace(
            self, candidates=candidates, cost=rename(self.cost), slope=rename(self.slope)
        )


def pattern_budget(model: nn.Module, images: Tensor, choice: PatternChoice) -> PatternBudget:
    """Express a budget in terms of a model's patterns.

    Parameters
    ----------
    model : nn.Module
    images : Tensor, shape (N, C, H, W)
        Only the shape matters.
    choice : PatternChoice
        Each candidate is used for the layers that it fits and, for a budget of cycles, that the
        hardware computes.
    """
    budget = choice.budget
    fitting = {
        name: [p for p in choice.candidates if not any(misfits(layer, p))]
        for name, layer in list(prunable_layers(model).items())[1:]
    }
    kept = weight_cost(model, images, macs=not isinstance(budget, ParameterBudget))
    cost: PatternCost = kept
    if isinstance(budget, CycleBudget):
        cost = hardware = budget.cost(model, images)
        limit = float(budget.cycles)
        fitting = {
            name: [pattern for pattern in patterns if not any(hardware.problems(name, pattern))]
            for name, patterns in fitting.items()
        }
    else:
        limit = budget.share * kept({})
    fitting = {name: patterns for name, patterns in fitting.items() if patterns}
    return PatternBudget(candidates=fitting, cost=cost, limit=limit, slope=kept)


def choose_patterns(
    model: nn.Module, budget: PatternBudget, images: Tensor | None = None
) -> dict[str, Pattern]:
    """Choose patterns of a trained model by magnitude, or by the error of reconstructed layers.

    Parameters
    ----------
    model : nn.Module
    budget : PatternBudget
    images : Tensor of float, shape (N, C, H, W), optional
        Training images for :func:`~systolith.prune.reconstruction_losses`; without them, the
        squared magnitudes that masks prune decide.

    Raises
    ------
    PruneError
        If the budget cannot be met.
    """
    if images is None:
        losses = magnitude_losses(model, budget.candidates)
    else:
        losses = reconstruction_losses(model, budget.candidates, images)
    return allocate_patterns(losses, budget.cost, budget.limit)
