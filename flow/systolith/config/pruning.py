"""The pruning steps of an experiment: one section per method, which `method` names."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from systolith.config.section import Count, Positive, Section, Share
from systolith.network import Dense, Granularity, KOutOfN, PerNeuron, Select

__all__ = [
    "ADMMSection",
    "BudgetSection",
    "DJPQSection",
    "DPFSection",
    "DPPFiltersSection",
    "DPPSection",
    "FilterSection",
    "FiltersSection",
    "GDPSection",
    "LFESection",
    "MagnitudeSection",
    "OBSSection",
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
    def _check_selection(self) -> "RuleSection":
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
        """Selection of weights in matching layers."""
        if self.k is None:
            return Dense()
        if self.n is None:
            return PerNeuron(self.k, self.shared_by)
        return KOutOfN(self.k, self.n, Granularity(self.granularity), self.shared_by)


class BudgetSection(Section):
    """The most that the network may cost: cycles, MACs or parameters.

    Cycles are those of the engines, per frame, with the experiment's multipliers; MACs and
    parameters are shares of the dense network's. A budget of filters may have both of these.
    """

    cycles: Count | None = None
    macs: Share | None = None
    parameters: Share | None = None

    @model_validator(mode="after")
    def _check_unit(self) -> "BudgetSection":
        if not self.units or ("cycles" in self.units and len(self.units) > 1):
            got = ", ".join(self.units) or "none"
            raise ValueError(f"needs one of cycles, macs and parameters, got {got}")
        return self

    @property
    def units(self) -> tuple[str, ...]:
        """Names of what is limited."""
        names = ("cycles", "macs", "parameters")
        return tuple(name for name in names if getattr(self, name))


class PruneStep(Section):
    """Keys of every pruning step."""

    epochs: Annotated[int, Field(ge=0)] | None = None
    """Epochs of training while pruning; default: train.prune_epochs."""
    finetune_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs of training afterwards, with fixed masks or filters."""
    learning_rate: Positive | None = None


class WeightSection(PruneStep):
    """Masks of weights, by rules or by a budget that chooses patterns."""

    rules: tuple[RuleSection, ...] = Field(default=(), strict=False)
    budget: BudgetSection | None = None
    candidates: tuple[Annotated[tuple[Count, Count], Field(strict=False)], ...] = Field(
        default=((2, 4), (1, 4), (2, 8), (1, 8)), strict=False
    )
    """Pairs (k, n) that a budget chooses from; dense is always possible."""
    shared_by: Count = 1
    """Neighbouring filters that share a mask, in patterns chosen by a budget."""

    @model_validator(mode="after")
    def _check_choice(self) -> "WeightSection":
        if bool(self.rules) == (self.budget is not None):
            raise ValueError("needs either rules or a budget")
        if self.budget is not None and len(self.budget.units) > 1:
            got = " and ".join(self.budget.units)
            raise ValueError(f"a budget that chooses patterns needs one limit, got {got}")
        if self.budget is not None and not self.candidates:
            raise ValueError("a budget needs candidates to choose from, got none")
        return self


class MagnitudeSection(WeightSection):
    """Keep the greatest weights."""

    method: Literal["magnitude"]
    score: Literal["magnitude", "wanda"] = "magnitude"
    """Magnitude, or magnitude times the norm of the inputs that a weight multiplies."""
    schedule: Literal["one-shot", "cubic"] = "one-shot"


class OBSSection(WeightSection):
    """Change the kept weights by least squares, so that each layer's outputs stay; no training."""

    method: Literal["obs"]
    epochs: Annotated[int, Field(ge=0)] | None = 0
    """Epochs of training with fixed masks."""
    images: Count = 512
    """Training images that the layers' inputs are measured on."""
    damping: Positive = 0.01
    """Share of the mean square of the inputs that is added to it."""


class SRSTESection(WeightSection):
    """Sparse-refined straight-through estimator."""

    method: Literal["sr-ste"]
    schedule: Literal["one-shot", "cubic"] = "one-shot"
    decay: Annotated[float, Field(ge=0)] = 2e-4
    joint: bool = False
    """Whether to prune during quantized training instead of before."""


class DPPSection(WeightSection):
    """Dynamic probabilistic pruning."""

    method: Literal["dpp"]
    init: Literal["random", "magnitude"] = "magnitude"
    joint: bool = False
    """Whether to prune during quantized training instead of before."""
    learn_patterns: bool = False
    """Whether pruning learns the candidate of each layer; otherwise magnitudes decide."""

    @model_validator(mode="after")
    def _check_learning(self) -> "DPPSection":
        if self.learn_patterns and self.budget is None:
            raise ValueError("learn_patterns needs a budget to choose patterns for, got rules")
        return self


class DPFSection(WeightSection):
    """Dynamic pruning with feedback."""

    method: Literal["dpf"]
    schedule: Literal["one-shot", "cubic"] = "cubic"
    joint: bool = False
    """Whether to prune during quantized training instead of before."""


class ADMMSection(WeightSection):
    """Alternating direction method of multipliers: weights are pulled towards the pattern."""

    method: Literal["admm"]
    rho: Positive = 0.1
    """Strength of the pull."""


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
    """Training images held out for the search."""
    loss: Literal["cross-entropy", "misclassification"] = "cross-entropy"
    """What masks are compared by; the paper counts misclassifications."""
    search: Literal["filter", "random"] = "filter"
    """The ablation "random" takes the best of equally many random masks."""

    @model_validator(mode="after")
    def _check_decisions(self) -> "ParticlesSection":
        if self.kernels is None and self.stride is None:
            raise ValueError("needs kernels, a stride, or both")
        return self


class RemovalStep(PruneStep):
    """A step that removes filters."""


class FilterSection(RemovalStep):
    """The filters to keep, as a share or by a budget."""

    keep: Share | None = None
    budget: BudgetSection | None = None
    ratios: dict[str, Share] = {}
    """Share of the filters to keep, by regular expression for layer names; later ones win."""
    min_ratio: Share = 0.1
    """Least share of each layer's filters."""
    multiple_of: Count = 1
    """Kept filters of each layer are a multiple of this, to fill the lanes of the hardware."""

    @model_validator(mode="after")
    def _check_choice(self) -> "FilterSection":
        if self.keep is not None and self.budget is not None:
            raise ValueError("needs either keep or a budget, got both")
        if self.keep is None and self.budget is None and not self.ratios:
            raise ValueError("needs keep, a budget or ratios, got none")
        if self.budget is not None and self.budget.cycles is not None:
            raise ValueError("a budget of filters needs macs or parameters, got cycles")
        return self


class GDPSection(FilterSection):
    """Global and dynamic filter pruning."""

    method: Literal["gdp"]
    per_cost: bool | None = None
    """Rank by saliency per MAC, or per parameter; default: if there is a budget."""


class TaylorSection(FilterSection):
    """Taylor importance of gates."""

    method: Literal["taylor"]


class FiltersSection(FilterSection):
    """Filters with the lowest scores leave at once."""

    method: Literal["filters"]
    score: Literal["l1", "l2", "fpgm", "bn-scale", "lamp", "random"] = "l1"
    per_layer: bool = False
    """Whether the same share of each layer leaves; otherwise all layers are ranked together."""
    reconstruct: bool = True
    """Whether least squares gives the layers behind removed filters new weights."""


class LFESection(FilterSection):
    """Linear filter ensembles."""

    method: Literal["lfe"]
    members: Count | None = None
    """Masked networks in each round; None: 5 for each filter that is left."""
    images: Count = 500
    """Training images held out to measure losses."""
    rounds: Count = 5
    """Rounds of removal; a third of the epochs is between them."""
    reconstruct: bool = True
    """As for "filters", after each round."""


class DPPFiltersSection(FilterSection):
    """Dynamic probabilistic pruning of filters: the same share in every layer."""

    method: Literal["dpp-filters"]
    init: Literal["random", "taylor"] = "taylor"
    """Initial logits: random, as in the paper, or from Taylor importance."""


class DJPQSection(RemovalStep):
    """Gates of filters and widths of layers, learned together; quantization uses the widths."""

    method: Literal["djpq"]
    information: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of open gates in the loss."""
    bit_operations: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the network's bit operations in the loss, relative to 8 bits and no pruning."""
    power_of_two: bool = False
    """Whether widths are limited to 2, 4 and 8 bits."""


PruneSection = Annotated[
    MagnitudeSection
    | OBSSection
    | SRSTESection
    | DPPSection
    | DPFSection
    | ADMMSection
    | SPPSection
    | ParticlesSection
    | GDPSection
    | TaylorSection
    | FiltersSection
    | LFESection
    | DPPFiltersSection
    | DJPQSection,
    Field(discriminator="method"),
]


def order_problems(steps: Sequence[BaseModel]) -> list[str]:
    """Describe what is wrong with the order of steps, which are numbered from 0.

    Filters must have left before weights are masked, which can happen once.
    """
    weights = [i for i, step in enumerate(steps) if not isinstance(step, RemovalStep)]
    problems = [f"step {i}: masks of weights can be made by one step only" for i in weights[1:]]
    if weights and weights[0] != len(steps) - 1 and len(weights) == 1:
        problems.append(f"step {weights[0]}: filters must be pruned before weights are masked")
    return problems
