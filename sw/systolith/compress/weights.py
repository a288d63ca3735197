"""Carry out the methods that mask weights."""

from collections.abc import Iterable, Iterator, Mapping
from math import prod

from torch import nn

from systolith.compress.budgets import PatternBudget, PatternChoice, choose_patterns, pattern_budget
from systolith.compress.methods import (
    ADMMPruning,
    DPFPruning,
    DPPPruning,
    JointPruning,
    MagnitudePruning,
    OBSPruning,
    ParticlePruning,
    Rules,
    SPPPruning,
    SRSTEPruning,
    WeightPruning,
    WeightScore,
)
from systolith.compress.trainer import Trainer
from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import (
    ADMM,
    DPF,
    DPP,
    SPP,
    SRSTE,
    BestOfRandom,
    FrozenMasks,
    LayerPlan,
    LearnedPatterns,
    MaskSet,
    OneShot,
    ParticleFilter,
    PruneError,
    ReconstructingPruner,
    Score,
    ScorePruner,
    WeightSparsifier,
    check_patterns,
    magnitude,
    match_patterns,
    measure_wanda,
    prunable_layers,
    prune_by_particles,
)
from systolith.prune.computed_weights import computed_weights
from systolith.prune.filters_first import Transposed, filter_weights
from systolith.prune.posttraining import count_calls
from systolith.quant import QuantizedModel, quantized_names, quantized_patterns

__all__ = ["check_masks", "make_sparsifier", "resolve_patterns", "search_masks", "train_masks"]

IMAGE_CHANNELS = 3
"""An input of at most this many channels is an image."""


def check_masks(model: nn.Module, pruning: WeightPruning | ParticlePruning) -> None:
    """Check, before any training, that a method fits the model.

    Raises
    ------
    PruneError
        With every layer and pattern that does not fit.
    """
    layers: Iterable[str] = ()
    if isinstance(pruning, ParticlePruning):
        layers = _layer_plans(model, pruning)
    elif not isinstance(pruning.patterns, PatternChoice):
        layers = resolve_patterns(model, pruning.patterns)
    if not (isinstance(pruning, JointPruning) and pruning.joint):
        PruneError.raise_if_any(_computed_weights(model, layers))


def _computed_weights(model: nn.Module, layers: Iterable[str]) -> Iterator[str]:
    """Find layers whose weights are no parameters, so that masks cannot set them to zero."""
    for name in layers:
        if remedies := list(computed_weights(model.get_submodule(name))):
            calls = " and ".join(remedies)
            yield f"masks need parameters, but '{name}' computes its weights; call {calls}"


def train_masks(model: nn.Module, trainer: Trainer, pruning: WeightPruning, phase: str) -> MaskSet:
    """Train with masks, in place, and apply them."""
    check_masks(model, pruning)
    if isinstance(pruning, OBSPruning):
        masks = _reconstruct_weights_(model, trainer, pruning)
        sparsifier: WeightSparsifier = FrozenMasks(masks)
    else:
        sparsifier = make_sparsifier(model, trainer, pruning)
    trainer.fit(model, phase, sparsifier, pruning)
    masks = sparsifier.masks(model)
    masks.apply_(model)
    return masks


def _reconstruct_weights_(model: nn.Module, trainer: Trainer, pruning: OBSPruning) -> MaskSet:
    """Prune by reconstruction, in place."""
    images = trainer.data.train_images[: pruning.images]
    if isinstance(pruning.patterns, PatternChoice):
        patterns = choose_patterns(model, _budget(model, trainer, pruning), images)
    else:
        patterns = resolve_patterns(model, pruning.patterns)
    pruner = ReconstructingPruner(patterns=patterns, images=images, damping=pruning.damping)
    return pruner.prune_(model)


def search_masks(
    model: nn.Module, trainer: Trainer, pruning: ParticlePruning, phase: str
) -> MaskSet:
    """Search masks by forward passes, then train with them, in place, and apply them."""
    search = BestOfRandom if pruning.random_search else ParticleFilter
    masks = prune_by_particles(
        model,
        trainer.hold_out(pruning.images, pruning.loss),
        _layer_plans(model, pruning),
        search=search(particles=pruning.particles, generations=pruning.generations),
        seed=trainer.recipe.seed,
        save=lambda state: trainer.save_search(phase, state),
        state=trainer.load_search(phase),
    )
    trainer.fit(model, phase, FrozenMasks(masks), pruning)
    masks.apply_(model)
    return masks


def make_sparsifier(
    model: nn.Module,
    trainer: Trainer,
    pruning: WeightPruning,
    quantized: QuantizedModel | None = None,
) -> WeightSparsifier:
    """Make the sparsifier that trains `model`, or its quantized form if there is one.

    For :class:`OBSPruning`, it has the masks by magnitude, and only checks that the inputs of all
    layers can be seen: :func:`train_masks` reconstructs.
    """
    trained, seed = model if quantized is None else quantized, trainer.recipe.seed
    if isinstance(pruning, DPPPruning) and pruning.learn_patterns:
        budget = _budget(model, trainer, pruning)
        if quantized is not None:
            budget = budget.renamed(quantized_names(quantized))
        return LearnedPatterns(
            trained,
            budget.candidates,
            cost=budget.cost,
            budget=budget.limit,
            slope=budget.slope,
            init=pruning.init,
            seed=seed,
        )
    patterns = _find_patterns(model, trainer, pruning)
    if quantized is not None:
        patterns = quantized_patterns(quantized, patterns)
    steps = trainer.prune_steps(pruning)
    match pruning:
        case OBSPruning():
            count_calls(model, patterns, trainer.data.train_images[:2])
            return FrozenMasks(ScorePruner(patterns=patterns).masks(model))
        case MagnitudePruning():
            score: Score = magnitude
            if pruning.score is WeightScore.WANDA:
                score = measure_wanda(model, patterns, trainer.data.calibration_images)
            pruner = ScorePruner(patterns=patterns, score=score, schedule=pruning.schedule)
            if isinstance(pruning.schedule, OneShot):
                return FrozenMasks(pruner.masks(trained))
            return SRSTE(pruner, decay=0.0)
        case SRSTEPruning():
            pruner = ScorePruner(patterns=patterns, schedule=pruning.schedule)
            return SRSTE(pruner, decay=pruning.decay)
        case DPPPruning():
            return DPP(trained, patterns, init=pruning.init, seed=seed)
        case SPPPruning():
            return SPP.for_training(trained, patterns, steps=steps, seed=seed)
        case DPFPruning():
            pruner = ScorePruner(patterns=patterns, schedule=pruning.schedule)
            return DPF.for_training(pruner, steps=steps)
        case ADMMPruning():
            return ADMM.for_training(trained, patterns, steps=steps, rho=pruning.rho)
        case _:
            raise AssertionError(pruning)


def _find_patterns(
    model: nn.Module, trainer: Trainer, pruning: WeightPruning
) -> dict[str, Pattern]:
    """Find patterns by layer name: as given, or for the budget."""
    if isinstance(pruning.patterns, PatternChoice):
        return choose_patterns(model, _budget(model, trainer, pruning))
    return resolve_patterns(model, pruning.patterns)


def resolve_patterns(
    model: nn.Module, patterns: Rules | Mapping[str, Pattern]
) -> dict[str, Pattern]:
    """Return patterns by layer name, given as rules or by name.

    Raises
    ------
    PruneError
        With every rule, layer and pattern that does not fit.
    """
    if isinstance(patterns, Mapping):
        return check_patterns(model, patterns)
    return match_patterns(model, patterns)


def _budget(model: nn.Module, trainer: Trainer, pruning: WeightPruning) -> PatternBudget:
    assert isinstance(pruning.patterns, PatternChoice)
    return pattern_budget(model, trainer.data.train_images[:1], pruning.patterns)


def _layer_plans(model: nn.Module, pruning: ParticlePruning) -> dict[str, LayerPlan]:
    """Plan the search in the convolutions that the method names and whose input is no image."""
    names = match_patterns(model, [(pruning.layers, Pattern())])
    plans: dict[str, LayerPlan] = {}
    for name, layer in prunable_layers(model).items():
        weight = filter_weights(layer)
        if name not in names or weight.ndim < 3 or weight.shape[1] <= IMAGE_CHANNELS:
            continue
        channels, taps = weight.shape[1], prod(weight.shape[2:])
        select = None
        if pruning.kernels is not None:
            kept = max(1, round(pruning.kernels * channels))
            select = KOutOfN(kept, channels, Granularity.KERNEL) if kept < channels else None
        stride = 1 if isinstance(layer, Transposed) else min(pruning.stride or 1, taps)
        if select is not None or stride > 1:
            plans[name] = LayerPlan(select=select, stride=stride)
    if not plans:
        raise PruneError(
            [f"particles need convolutions to prune, but '{pruning.layers}' names none"]
        )
    return plans
