"""The pruning steps of an experiment: one section per method, told apart by `method`."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from systolith.config.section import Section
from systolith.network import Dense, Granularity, KOutOfN, PerNeuron, Select

__all__ = [
    "BudgetSection",
    "DJPQSection",
    "DPPFiltersSection",
    "DPPSection",
    "FilterSection",
    "GDPSection",
    "LFESection",
    "MagnitudeSection",
    "ParticlesSection",
    "PruneSection",
    "PruneStep",
    "RemovalStep",
    "RuleSection",
    "SPPSection",
    "SRSTESection",
    "TaylorSection",
    "WeightSection",
    "order_problems",
]

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class RuleSection(Section):
    """Layers whose names match get exactly k out of n, strided taps, or both; later rules win.

    `granularity` "neuron" keeps k weights of each filter, wherever they are, and has no n.
    """

    layers: str
    k: Count | None = None
    n: Count | None = None
    granularity: Literal["weight", "kernel", "neuron"] = "weight"
    shared_by: Count = 1
    stride: Count | None = None
    """Keep every stride-th tap, with an offset per input channel; None: all."""

    @model_validator(mode="after")
    def _fits(self) -> "RuleSection":
        if self.k is None:
            if self.stride is None:
                raise ValueError("needs k, a stride, or both")
            given = [name for name in ("n", "granularity", "shared_by") if self._given(name)]
            if given:
                raise ValueError(f"{', '.join(given)} needs k, got none")
        elif self.granularity == "neuron":
            if self.n is not None:
                raise ValueError(f"k per neuron has no groups, so no n, got n={self.n}")
        elif self.n is None:
            raise ValueError("k-out-of-n needs n")
        elif self.k > self.n:
            raise ValueError(f"k-out-of-n needs k <= n, got k={self.k}, n={self.n}")
        return self

    def _given(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @property
    def select(self) -> Select:
        """What the filters of matching layers select."""
        if self.k is None:
            return Dense()
        if self.n is None:
            return PerNeuron(self.k, self.shared_by)
        return KOutOfN(self.k, self.n, Granularity(self.granularity), self.shared_by)


class BudgetSection(Section):
    """What the network may cost: exactly one of cycles, kept MACs or kept weights.

    Cycles are those of the engines, per frame, with the experiment's multipliers; MACs and
    parameters are shares of the dense network's.
    """

    cycles: Count | None = None
    macs: Share | None = None
    parameters: Share | None = None

    @model_validator(mode="after")
    def _one(self) -> "BudgetSection":
        given = [name for name in ("cycles", "macs", "parameters") if getattr(self, name)]
        if len(given) != 1:
            got = ", ".join(given) or "none"
            raise ValueError(f"needs one of cycles, macs and parameters, got {got}")
        return self


class PruneStep(Section):
    """What every pruning step has."""

    epochs: Annotated[int, Field(ge=0)] | None = None
    """Of training while pruning; default: train.prune_epochs."""
    finetune_epochs: Annotated[int, Field(ge=0)] = 0
    """Of training afterwards, with what is kept fixed."""
    learning_rate: Positive | None = None


class WeightSection(PruneStep):
    """Masks of weights: rules, or a budget from which rules are found."""

    rules: tuple[RuleSection, ...] = Field(default=(), strict=False)
    budget: BudgetSection | None = None
    candidates: tuple[Annotated[tuple[Count, Count], Field(strict=False)], ...] = Field(
        default=((2, 4), (1, 4), (2, 8), (1, 8)), strict=False
    )
    """k and n that a budget chooses from, besides dense."""
    shared_by: Count = 1
    """Of patterns chosen by a budget."""

    @model_validator(mode="after")
    def _either(self) -> "WeightSection":
        if bool(self.rules) == (self.budget is not None):
            raise ValueError("needs either rules or a budget")
        if self.budget is not None and not self.candidates:
            raise ValueError("a budget needs candidates to choose from, got none")
        return self


class MagnitudeSection(WeightSection):
    """Keep the greatest weights."""

    method: Literal["magnitude"]
    schedule: Literal["one-shot", "cubic"] = "one-shot"


class SRSTESection(WeightSection):
    """Sparse-refined straight-through estimator."""

    method: Literal["sr-ste"]
    schedule: Literal["one-shot", "cubic"] = "one-shot"
    decay: Annotated[float, Field(ge=0)] = 2e-4
    joint: bool = False
    """Prune while training quantized, instead of before."""


class DPPSection(WeightSection):
    """Dynamic probabilistic pruning."""

    method: Literal["dpp"]
    init: Literal["random", "magnitude"] = "magnitude"
    joint: bool = False
    """Prune while training quantized, instead of before."""
    learn_patterns: bool = False
    """Learn while pruning which candidate each layer gets, instead of choosing by magnitude."""

    @model_validator(mode="after")
    def _from_candidates(self) -> "DPPSection":
        if self.learn_patterns and self.budget is None:
            raise ValueError("learn_patterns needs a budget to choose patterns for, got rules")
        return self


class SPPSection(WeightSection):
    """Structured probabilistic pruning: columns of the lowered weights."""

    method: Literal["spp"]


class ParticlesSection(PruneStep):
    """Particle filter: kernels and strided taps, coarse to fine."""

    method: Literal["particles"]
    layers: str = ".*"
    kernels: Share | None = None
    """Share of each filter's kernels that is kept; None: all."""
    stride: Count | None = None
    """Keep every stride-th tap, with an offset per input channel; None: all."""
    particles: Count = 50
    generations: Count = 10
    images: Count = 1000
    """Training images that are held out for choosing."""
    search: Literal["filter", "random"] = "filter"
    """"random" is the ablation: the best of as many random masks."""

    @model_validator(mode="after")
    def _something(self) -> "ParticlesSection":
        if self.kernels is None and self.stride is None:
            raise ValueError("needs kernels, a stride, or both")
        return self


class RemovalStep(PruneStep):
    """Filters leave the network."""


class FilterSection(RemovalStep):
    """How many filters stay: a share, or a budget."""

    keep: Share | None = None
    budget: BudgetSection | None = None
    least: Share = 0.1
    """Share of each layer's filters that is kept at least."""
    multiple_of: Count = 1
    """Filters kept per layer, so that they fill the lanes of the hardware."""

    @model_validator(mode="after")
    def _either(self) -> "FilterSection":
        if (self.keep is None) == (self.budget is None):
            raise ValueError("needs either keep or a budget")
        if self.budget is not None and self.budget.cycles is not None:
            raise ValueError("a budget of filters needs macs or parameters, got cycles")
        return self


class GDPSection(FilterSection):
    """Global and dynamic filter pruning."""

    method: Literal["gdp"]
    per_mac: bool = False
    """Rank by saliency per MAC."""


class TaylorSection(FilterSection):
    """Taylor importance of gates."""

    method: Literal["taylor"]


class LFESection(FilterSection):
    """Linear filter ensembles."""

    method: Literal["lfe"]
    members: Count = 512
    images: Count = 1000
    """Training images that are held out for measuring losses."""
    rounds: Count = 1


class DPPFiltersSection(FilterSection):
    """Dynamic probabilistic pruning of filters: the same share in every layer."""

    method: Literal["dpp-filters"]
    init: Literal["random", "taylor"] = "taylor"
    """Where logits start: at random, as in the paper, or by what a trained network needs."""


class DJPQSection(RemovalStep):
    """Gates of filters and widths of layers, learned together; quantization uses the widths."""

    method: Literal["djpq"]
    information: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of open gates in the loss."""
    bit_operations: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the network's bit operations in the loss, relative to 8 bits and no pruning."""
    power_of_two: bool = False
    """Widths are 2, 4 or 8."""


PruneSection = Annotated[
    MagnitudeSection
    | SRSTESection
    | DPPSection
    | SPPSection
    | ParticlesSection
    | GDPSection
    | TaylorSection
    | LFESection
    | DPPFiltersSection
    | DJPQSection,
    Field(discriminator="method"),
]


def order_problems(steps: Sequence[BaseModel]) -> list[str]:
    """Say what is wrong with the order of steps; they count from 0, as in other messages.

    Filters must have left before weights are masked, which can happen once.
    """
    weights = [i for i, step in enumerate(steps) if not isinstance(step, RemovalStep)]
    problems = [f"step {i}: masks of weights can be made by one step only" for i in weights[1:]]
    if weights and weights[0] != len(steps) - 1 and len(weights) == 1:
        problems.append(f"step {weights[0]}: filters must be pruned before weights are masked")
    return problems
