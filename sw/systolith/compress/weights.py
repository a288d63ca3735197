"""Steps that mask weights, from their sections to masks."""

from collections.abc import Mapping

from torch import nn

from systolith.config import (
    DPPSection,
    MagnitudeSection,
    ParticlesSection,
    RuleSection,
    SPPSection,
    SRSTESection,
    WeightSection,
)
from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import (
    DPP,
    SPP,
    SRSTE,
    BestOfRandom,
    Cubic,
    FrozenMasks,
    LayerPlan,
    LearnedPatterns,
    LogitInit,
    Loss,
    MaskSet,
    OneShot,
    ParticleFilter,
    PruneError,
    Schedule,
    ScorePruner,
    StridedPattern,
    WeightSparsifier,
    match_patterns,
    prunable_layers,
    prune_by_particles,
)
from systolith.quant import QuantizedModel, quantized_names, quantized_patterns
from systolith.steps.budgets import PatternBudget, pattern_budget, patterns_for_budget
from systolith.steps.pruning.context import PruneContext

__all__ = ["check_masks", "make_sparsifier", "pattern_of", "search_masks", "train_masks"]

SCHEDULES: Mapping[str, Schedule] = {"one-shot": OneShot(), "cubic": Cubic()}


def pattern_of(rule: RuleSection) -> Pattern | StridedPattern:
    """Say what pattern a rule gives its layers; offsets of strided taps are up to the weights."""
    if rule.stride in (None, 1):
        return Pattern(select=rule.select)
    return StridedPattern(select=rule.select, stride=rule.stride)


def check_masks(model: nn.Module, step: WeightSection | ParticlesSection) -> None:
    """Find out before any training whether a step fits the model.

    Raises
    ------
    PruneError
        With every layer and pattern that does not fit.
    """
    if isinstance(step, ParticlesSection):
        _plan(model, step)
    elif step.rules:
        match_patterns(model, [(rule.layers, pattern_of(rule)) for rule in step.rules])


def train_masks(model: nn.Module, step: WeightSection, context: PruneContext, name: str) -> MaskSet:
    """Train with masks, and apply them."""
    sparsifier = make_sparsifier(model, step, context)
    context.fit(model, step, context.epochs(step), name, sparsifier)
    masks = sparsifier.masks(model)
    masks.apply_(model)
    return masks


def search_masks(
    model: nn.Module, step: ParticlesSection, context: PruneContext, name: str
) -> MaskSet:
    """Search masks by forward passes, then train with them frozen."""
    searches: Mapping[str, type[ParticleFilter | BestOfRandom]] = {
        "filter": ParticleFilter,
        "random": BestOfRandom,
    }
    search = searches[step.search](particles=step.particles, generations=step.generations)
    masks = prune_by_particles(
        model,
        context.split(step.images, Loss.MISCLASSIFICATION),
        _plan(model, step),
        search=search,
        seed=context.recipe.seed,
        save=lambda state: context.save_search(name, state),
        state=context.load_search(name),
    )
    context.fit(model, step, context.epochs(step), name, FrozenMasks(masks))
    masks.apply_(model)
    return masks


def make_sparsifier(
    model: nn.Module,
    step: WeightSection,
    context: PruneContext,
    quantized: QuantizedModel | None = None,
) -> WeightSparsifier:
    """Make what prunes a model while training, or its quantized form if there is one."""
    trained = model if quantized is None else quantized
    if isinstance(step, DPPSection) and step.learn_patterns:
        found = _budget(model, step, context)
        if quantized is not None:
            found = found.renamed(quantized_names(quantized))
        return LearnedPatterns(
            trained,
            found.candidates,
            cost=found.cost,
            budget=found.limit,
            slope=found.slope,
            init=LogitInit(step.init),
            seed=context.recipe.seed,
        )
    patterns = _find_patterns(model, step, context)
    if quantized is not None:
        patterns = quantized_patterns(quantized, patterns)
    match step:
        case MagnitudeSection():
            pruner = ScorePruner(patterns=patterns, schedule=SCHEDULES[step.schedule])
            if step.schedule == "one-shot":
                return FrozenMasks(pruner.masks(trained))
            return SRSTE(pruner, decay=0.0)
        case SRSTESection():
            pruner = ScorePruner(patterns=patterns, schedule=SCHEDULES[step.schedule])
            return SRSTE(pruner, decay=step.decay)
        case DPPSection():
            return DPP(trained, patterns, init=LogitInit(step.init), seed=context.recipe.seed)
        case SPPSection():
            return SPP(trained, patterns)
        case _:
            raise AssertionError(step)


def _find_patterns(
    model: nn.Module, step: WeightSection, context: PruneContext
) -> dict[str, Pattern]:
    """Patterns by layer, from the rules or for the budget."""
    if step.budget is None:
        return match_patterns(model, [(rule.layers, pattern_of(rule)) for rule in step.rules])
    return patterns_for_budget(model, _budget(model, step, context))


def _budget(model: nn.Module, step: WeightSection, context: PruneContext) -> PatternBudget:
    assert step.budget is not None, "sections have rules or a budget"
    candidates = [
        Pattern(select=KOutOfN(k, n, shared_by=step.shared_by)) for k, n in step.candidates
    ]
    images = context.data.train_images[:1]
    return pattern_budget(model, images, candidates, step.budget, multipliers=context.multipliers)


def _plan(model: nn.Module, step: ParticlesSection) -> dict[str, LayerPlan]:
    """Plan for the convolutions that the step names, whose input is no image."""
    names = match_patterns(model, [(step.layers, Pattern())])
    plan: dict[str, LayerPlan] = {}
    for name, layer in prunable_layers(model).items():
        weight = layer.weight
        if name not in names or weight.ndim != 4 or weight.shape[1] <= 3:
            continue
        channels, taps = weight.shape[1], weight.shape[2] * weight.shape[3]
        select = None
        if step.kernels is not None:
            kept = max(1, round(step.kernels * channels))
            select = KOutOfN(kept, channels, Granularity.KERNEL) if kept < channels else None
        stride = min(step.stride or 1, taps)
        if select is not None or stride > 1:
            plan[name] = LayerPlan(select=select, stride=stride)
    if not plan:
        raise PruneError([f"particles need convolutions to prune, but '{step.layers}' names none"])
    return plan
