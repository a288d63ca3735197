"""What pruning methods will refuse, rehearsed on the untrained model."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from systolith.compress.budgets import PatternChoice
from systolith.compress.check.after_removal import find_misfits
from systolith.compress.check.arguments import check_arguments
from systolith.compress.filters import check_removal
from systolith.compress.methods import (
    FilterRemoval,
    JointPruning,
    ParticlePruning,
    Pruning,
    SearchPruning,
    WeightPruning,
)
from systolith.compress.trainer import Trainer
from systolith.compress.weights import check_masks, make_sparsifier, resolve_patterns
from systolith.data import Dataset
from systolith.foundation import ProblemsError
from systolith.network import Pattern
from systolith.prune import PruneError, StridedPattern, find_channel_groups
from systolith.prune.rules import match_rules
from systolith.quant import QuantizedModel
from systolith.train import Recipe

__all__ = [
    "PruningFindings",
    "check_prunings",
    "find_given_patterns",
    "hold_out_problems",
    "rehearse_prunings",
    "sequence_problems",
]

MANY_EPOCHS = 10_000
"""Where the epochs are not known, all schedules finish."""


@dataclass(slots=True)
class PruningFindings:
    """What is wrong with a sequence of methods, and what may be.

    Attributes
    ----------
    problems : list of str
    warnings : list of (str, str)
        What may turn out not to fit, and its remedy.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)


def check_prunings(model: nn.Module, data: Dataset, prunings: Sequence[Pruning]) -> None:
    """Check, before any training, that methods fit the model and the data.

    After filters were removed, a later method may still turn out not to fit: then the check warns.

    Raises
    ------
    PruneError
        With every layer, pattern and budget that does not fit; or if a method holds out more images
        than there are.
    """
    check_arguments(model=model, data=data, prunings=prunings)
    trainer = Trainer(data=data, recipe=Recipe(prune_epochs=MANY_EPOCHS))
    findings = rehearse_prunings(model, trainer, prunings, None)
    PruneError.raise_if_any([*hold_out_problems(data, prunings), *findings.problems])
    for text, remedy in findings.warnings:
        warnings.warn(f"{text}; {remedy}" if remedy else text, stacklevel=2)


def hold_out_problems(data: Dataset, prunings: Sequence[Pruning]) -> Iterator[str]:
    """Find searches that hold out more images than there are."""
    count = len(data.train_images)
    for pruning in prunings:
        if isinstance(pruning, SearchPruning) and pruning.images >= count:
            yield (
                f"prune: {pruning.method} holds out {pruning.images} training images, but data set "
                f"'{data.name}' has {count}"
            )


def sequence_problems(prunings: Sequence[Pruning]) -> Iterator[str]:
    """Find methods in a wrong order: filters leave first, then one method masks weights."""
    masking = [i for i, pruning in enumerate(prunings) if not isinstance(pruning, FilterRemoval)]
    for i in masking[1:]:
        yield (
            f"prune: only one method can mask weights, but '{prunings[i].method}' follows "
            f"'{prunings[masking[0]].method}'; give it all patterns"
        )
    for i, pruning in enumerate(prunings):
        if isinstance(pruning, FilterRemoval) and masking and i > masking[0]:
            yield (
                f"prune: filters must leave before weights are masked, but '{pruning.method}' "
                f"follows '{prunings[masking[0]].method}'"
            )


def rehearse_prunings(
    model: nn.Module,
    trainer: Trainer,
    prunings: Sequence[Pruning],
    quantized: QuantizedModel | None,
) -> PruningFindings:
    """Do what the methods do before their first step.

    Parameters
    ----------
    model : nn.Module
        Untrained; not changed.
    trainer : Trainer
        Its data, seed and epochs are used.
    prunings : sequence of Pruning
    quantized : QuantizedModel or None
        Its quantized form, for joint methods; None if it is not known.
    """
    findings = PruningFindings(problems=list(sequence_problems(prunings)))
    removals: list[FilterRemoval] = []
    for pruning in prunings:
        try:
            match pruning:
                case FilterRemoval():
                    if not removals:
                        check_removal(model, trainer, pruning)
                    removals.append(pruning)
                case WeightPruning() | ParticlePruning() if not removals:
                    _rehearse_masks(model, trainer, pruning, quantized)
                case WeightPruning():
                    _foresee_masks(model, trainer, pruning, removals, findings)
                case ParticlePruning():
                    check_masks(model, pruning)
        except ProblemsError as error:
            findings.problems += error.problems
    return findings


def find_given_patterns(model: nn.Module, prunings: Sequence[Pruning]) -> dict[str, Pattern] | None:
    """Return patterns of weights by layer name; None if they depend on training.

    They do if filters are removed first, if patterns are chosen for a budget, or if masks are
    searched.

    Raises
    ------
    PruneError
        With every rule, layer and pattern that does not fit.
    """
    patterns: dict[str, Pattern] = {}
    for pruning in prunings:
        match pruning:
            case FilterRemoval() | ParticlePruning() | WeightPruning(patterns=PatternChoice()):
                return None
            case WeightPruning(patterns=given) if not isinstance(given, PatternChoice):
                patterns |= resolve_patterns(model, given)
    return patterns


def _rehearse_masks(
    model: nn.Module,
    trainer: Trainer,
    pruning: WeightPruning | ParticlePruning,
    quantized: QuantizedModel | None,
) -> None:
    check_masks(model, pruning)
    if isinstance(pruning, ParticlePruning):
        return
    joint = isinstance(pruning, JointPruning) and pruning.joint
    if not joint:
        make_sparsifier(model, trainer, pruning)
    elif quantized is not None:
        make_sparsifier(model, trainer, pruning, quantized)


def _foresee_masks(
    model: nn.Module,
    trainer: Trainer,
    pruning: WeightPruning,
    removals: Sequence[FilterRemoval],
    findings: PruningFindings,
) -> None:
    """Check masks of a network that will have fewer filters; a budget adapts to it."""
    if isinstance(pruning.patterns, PatternChoice):
        return
    patterns: dict[str, Pattern | StridedPattern]
    if isinstance(pruning.patterns, Mapping):
        patterns = dict(pruning.patterns)
    else:
        patterns, problems = match_rules(model, tuple(pruning.patterns))
        PruneError.raise_if_any(problems)
    groups = find_channel_groups(model, trainer.data.train_images[:2])
    for misfit in find_misfits(model, groups, removals, patterns):
        if misfit.certain:
            findings.problems.append(misfit.text)
        else:
            findings.warnings.append((misfit.text, misfit.remedy))
