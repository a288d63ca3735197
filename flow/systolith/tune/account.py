"""A study as JSON: what its page shows, and what a design is picked from."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from systolith.config import ObjectiveName
from systolith.network import identifier
from systolith.tune.designs import Design
from systolith.tune.measuring import epochs_at
from systolith.tune.objectives import MAXIMIZED, UNITS
from systolith.tune.space import Group, Point
from systolith.tune.study import Study
from systolith.tune.trials import TrialState

__all__ = ["account_of", "briefly", "objectives_of"]

LEAST_FOR_IMPORTANCE = 8
"""Trained points."""


def account_of(study: Study, folder: Path) -> dict[str, Any]:
    """Tell everything of a study.

    Parameters
    ----------
    study : Study
    folder : Path
        Of the study, as people name it.
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
        "objectives": objectives_of(study),
        "choices": [
            {"name": axis.name, "options": list(axis.options)} for axis in study.space.axes
        ],
        "points": [_told(study, design, front, folder) for design in designs],
        "importance": _importance(study),
        "sensitivity": study.sensitivity.rows(),
        "history": trials.history,
    }


def objectives_of(study: Study) -> list[dict[str, Any]]:
    """Tell what a study is after."""
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


def briefly(design: Design) -> dict[str, Any]:
    """Tell of a design what a table of the front shows."""
    return {
        "number": design.name,
        "values": {name.value: design.values.of(name) for name in ObjectiveName},
        "choices": dict(design.point),
    }


def _told(study: Study, design: Design, front: set[str], folder: Path) -> dict[str, Any]:
    return {
        **briefly(design),
        "state": "complete",
        "front": design.name in front,
        "feasible": design.feasible,
        "exact": design.layout is not None,
        "origin": design.origin,
        "epochs": _epochs(study),
        "seed": study.experiment.seed,
        "layers": list(_layers(study, design)),
        "changes": study.space.changes(design.point),
        "arrays": {} if design.layout is None else design.layout.arrays,
        "commands": [
            f"systolith tune pick {folder} {design.name} --output {design.name}.toml",
            f"systolith run {design.name}.toml",
        ],
    }


def _epochs(study: Study) -> int:
    """Count the epochs of pruning and quantized training that points are judged after."""
    train, share = study.experiment.train, study.section.fidelities[-1]
    return epochs_at(train.prune_epochs, share) + epochs_at(train.quantize_epochs, share)


def _layers(study: Study, design: Design) -> list[dict[str, Any]]:
    """What is chosen for each layer, and what the planner made of it if it was asked."""
    choices = {layer: group for group in study.space.groups for layer in group.layers}
    quantize = study.experiment.quantize
    rows = {row["name"]: row for row in design.layout.engines} if design.layout else {}
    told = []
    for name in study.hardware.layers:
        group, point = choices.get(name), design.point
        row: Mapping[str, Any] = rows.get(identifier(name), rows.get(name, {}))
        told.append(
            {
                "layer": name,
                "pattern": "dense" if group is None else str(group.pattern(point)),
                "weight_bits": _chosen(point, group, "weight bits", quantize.weight_bits),
                "act_bits": _chosen(point, group, "activation bits", quantize.act_bits),
                "array": row.get("array"),
                "multipliers": row.get("multipliers"),
                "cycles": row.get("cycles"),
                "utilization": 1 - row["idle"] if row else None,
                "luts": row.get("luts"),
                "dsps": row.get("dsps"),
                "block_rams": row.get("block_rams"),
            }
        )
    return told


def _chosen(point: Point, group: Group | None, what: str, otherwise: int) -> int:
    return otherwise if group is None else int(point.get(f"{group.name} {what}", otherwise))


def _importance(study: Study) -> dict[str, dict[str, float]]:
    """Share of each choice in how much an objective varies, by Optuna's fANOVA."""
    complete = study.trials.complete
    if len(complete) < LEAST_FOR_IMPORTANCE:
        return {}
    return {
        name.value: _share_of(study, place, [trial.values[place] for trial in complete])
        for place, name in enumerate(study.section.objectives)
    }


def _share_of(study: Study, place: int, values: Sequence[float]) -> dict[str, float]:
    if len(set(values)) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(
            study.trials.study, evaluator=evaluator, target=lambda trial: trial.values[place]
        )
    return dict(found)
