"""A study as JSON: the content of its page, and the designs to pick from."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from systolith.config import ObjectiveName
from systolith.network import identifier
from systolith.tune.design_points import DesignPoint
from systolith.tune.measuring import epochs_at
from systolith.tune.objectives import MAXIMIZED, UNITS
from systolith.tune.space import LayerGroup, SearchPoint
from systolith.tune.study import Study
from systolith.tune.trials import TrialState

__all__ = ["describe_objectives", "summarize_design", "summarize_study"]

LEAST_FOR_IMPORTANCE = 8
"""Trained points that the importance of choices needs."""


def summarize_study(study: Study, folder: Path) -> dict[str, Any]:
    """Summarize a study and all its designs.

    Parameters
    ----------
    study : Study
    folder : Path
        Folder of the study, as commands name it.
    """
    trials = study.trials
    designs = study.designs.all()
    front = {design.name for design in study.designs.front(designs)}
    outcomes = Counter(trial.user_attrs.get("outcome", "running") for trial in trials.asked)
    return {
        "name": study.experiment.name,
        "seconds": trials.seconds,
        "evaluations": len(trials.complete),
        "hypervolume": study.designs.volume_of(designs),
        "states": dict(outcomes),
        "failures": [
            {"trial": trial.number, "reason": trial.user_attrs.get("reason", "")}
            for trial in trials.of(TrialState.FAIL)
        ],
        "objectives": describe_objectives(study),
        "choices": [
            {"name": axis.name, "options": list(axis.options)} for axis in study.space.axes
        ],
        "points": [_summarize_fully(study, design, front, folder) for design in designs],
        "importance": _compute_importance(study),
        "sensitivity": study.sensitivity.rows(),
        "history": trials.history,
    }


def describe_objectives(study: Study) -> list[dict[str, Any]]:
    """Describe the objectives of a study."""
    return [
        {
            "name": name.value,
            "direction": "maximize" if name in MAXIMIZED else "minimize",
            "label": UNITS[name][0],
            "unit": UNITS[name][1],
            "limit": study.section.limits.get(name),
        }
        for name in study.section.objectives
    ]


def summarize_design(design: DesignPoint) -> dict[str, Any]:
    """Summarize a design for the table of the front."""
    return {
        "number": design.name,
        "values": {name.value: design.values.of(name) for name in ObjectiveName},
        "choices": dict(design.point),
    }


def _summarize_fully(
    study: Study, design: DesignPoint, front: set[str], folder: Path
) -> dict[str, Any]:
    return {
        **summarize_design(design),
        "state": "complete",
        "front": design.name in front,
        "feasible": design.feasible,
        "exact": design.layout is not None,
        "origin": design.origin,
        "epochs": _epochs(study),
        "seed": study.experiment.seed,
        "layers": _summarize_layers(study, design),
        "changes": study.space.changes(design.point),
        "arrays": {} if design.layout is None else design.layout.arrays,
        "commands": [
            f"systolith tune pick {folder} {design.name} --output {design.name}.toml",
            f"systolith run {design.name}.toml",
        ],
    }


def _epochs(study: Study) -> int:
    """Count the epochs of pruning and quantized training of a fully trained point."""
    train, share = study.experiment.train, study.section.fidelities[-1]
    return epochs_at(train.prune_epochs, share) + epochs_at(train.quantize_epochs, share)


def _summarize_layers(study: Study, design: DesignPoint) -> list[dict[str, Any]]:
    """List the choices for each layer, and its engine if the design was planned."""
    choices = {layer: group for group in study.space.groups for layer in group.layers}
    quantize = study.experiment.quantize
    rows = {row["name"]: row for row in design.layout.engines} if design.layout else {}
    summaries = []
    for name in study.hardware.layers:
        group, point = choices.get(name), design.point
        row: Mapping[str, Any] = rows.get(identifier(name), rows.get(name, {}))
        summaries.append(
            {
                "layer": name,
                "pattern": "dense" if group is None else str(group.pattern(point)),
                "weight_bits": _bits(point, group, "weight bits", quantize.weight_bits),
                "act_bits": _bits(point, group, "activation bits", quantize.act_bits),
                "array": row.get("array"),
                "multipliers": row.get("multipliers"),
                "cycles": row.get("cycles"),
                "utilization": 1 - row["idle"] if row else None,
                "luts": row.get("luts"),
                "dsps": row.get("dsps"),
                "block_rams": row.get("block_rams"),
            }
        )
    return summaries


def _bits(point: SearchPoint, group: LayerGroup | None, axis: str, default: int) -> int:
    return default if group is None else int(point.get(f"{group.name} {axis}", default))


def _compute_importance(study: Study) -> dict[str, dict[str, float]]:
    """Compute each choice's share of the variance of an objective, by Optuna's fANOVA."""
    complete = study.trials.complete
    if len(complete) < LEAST_FOR_IMPORTANCE:
        return {}
    return {
        name.value: _compute_shares(study, place, [trial.values[place] for trial in complete])
        for place, name in enumerate(study.section.objectives)
    }


def _compute_shares(study: Study, place: int, values: Sequence[float]) -> dict[str, float]:
    if len(set(values)) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares = optuna.importance.get_param_importances(
            study.trials.study, evaluator=evaluator, target=lambda trial: trial.values[place]
        )
    return dict(shares)
