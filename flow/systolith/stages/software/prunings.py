"""From the [[prune]] sections of an experiment file to configurations of pruning methods."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from systolith.compress import (
    ADMMPruning,
    CycleBudget,
    DJPQPruning,
    DPFPruning,
    DPPFilterPruning,
    DPPPruning,
    EnsemblePruning,
    FilterScorePruning,
    GDPPruning,
    MacBudget,
    MagnitudePruning,
    OBSPruning,
    ParameterBudget,
    ParticlePruning,
    PatternChoice,
    Pruning,
    Rules,
    SPPPruning,
    SRSTEPruning,
    TaylorPruning,
    WeightScore,
)
from systolith.config import (
    BudgetSection,
    DPFSection,
    DPPFiltersSection,
    DPPSection,
    Experiment,
    FilterSection,
    FiltersSection,
    MagnitudeSection,
    ParticlesSection,
    PruneSection,
    RuleSection,
    SRSTESection,
    WeightSection,
)
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    Cubic,
    FilterScore,
    LogitInit,
    Loss,
    OneShot,
    Schedule,
    StridedPattern,
)
from systolith.stages.cycle_costs import CycleCost

__all__ = ["make_pattern", "make_prunings"]

SCHEDULES: Mapping[str, Schedule] = {"one-shot": OneShot(), "cubic": Cubic()}
METHODS: Mapping[str, type[Pruning]] = {
    pruning.method: pruning
    for pruning in (
        ADMMPruning,
        DPFPruning,
        DJPQPruning,
        DPPFilterPruning,
        DPPPruning,
        EnsemblePruning,
        FilterScorePruning,
        GDPPruning,
        MagnitudePruning,
        OBSPruning,
        ParticlePruning,
        SPPPruning,
        SRSTEPruning,
        TaylorPruning,
    )
}


def make_prunings(experiment: Experiment) -> tuple[Pruning, ...]:
    """Translate the [[prune]] sections.

    Raises
    ------
    PruneError
        If the keys of a section exclude each other.
    """
    return tuple(_pruning(section, experiment.multipliers) for section in experiment.prune)


def make_pattern(rule: RuleSection) -> Pattern | StridedPattern:
    """Translate a rule; offsets of strided taps are chosen later, by the weights."""
    if rule.stride in (None, 1):
        return Pattern(select=rule.select)
    return StridedPattern(select=rule.select, stride=rule.stride)


def _pruning(section: PruneSection, multipliers: int) -> Pruning:
    """Fields of the configuration are keys of the section, except those that are set here."""
    values: dict[str, Any] = {name: getattr(section, name) for name in type(section).model_fields}
    method = METHODS[values.pop("method")]
    match section:
        case WeightSection():
            for name in ("rules", "budget", "candidates", "shared_by"):
                del values[name]
            values["patterns"] = _patterns(section, multipliers)
        case FilterSection():
            values["keep"] = 1.0 if section.keep is None else section.keep
            if (budget := values.pop("budget")) is not None:
                values["keep"] = _filter_budget(budget)
    match section:
        case MagnitudeSection() | SRSTESection() | DPFSection():
            values["schedule"] = SCHEDULES[section.schedule]
            if isinstance(section, MagnitudeSection):
                values["score"] = WeightScore(section.score)
        case DPPSection():
            values["init"] = LogitInit(section.init)
        case FiltersSection():
            values["score"] = FilterScore(section.score)
        case DPPFiltersSection():
            values["taylor_init"] = values.pop("init") == "taylor"
        case ParticlesSection():
            values["loss"] = Loss(section.loss)
            values["random_search"] = values.pop("search") == "random"
    return method(**values)


def _patterns(section: WeightSection, multipliers: int) -> Rules | PatternChoice:
    if section.budget is None:
        return [(rule.layers, make_pattern(rule)) for rule in section.rules]
    candidates = tuple(
        Pattern(select=KOutOfN(k, n, shared_by=section.shared_by)) for k, n in section.candidates
    )
    return PatternChoice(budget=_budget(section.budget, multipliers), candidates=candidates)


def _filter_budget(
    section: BudgetSection,
) -> MacBudget | ParameterBudget | tuple[MacBudget | ParameterBudget, ...]:
    kinds = ((MacBudget, section.macs), (ParameterBudget, section.parameters))
    limits = tuple(kind(share) for kind, share in kinds if share is not None)
    return limits if len(limits) > 1 else limits[0]


def _budget(section: BudgetSection, multipliers: int) -> MacBudget | ParameterBudget | CycleBudget:
    if section.macs is not None:
        return MacBudget(section.macs)
    if section.parameters is not None:
        return ParameterBudget(section.parameters)
    assert section.cycles is not None, "sections have one of the three"
    return CycleBudget(section.cycles, partial(CycleCost, multipliers=multipliers))
