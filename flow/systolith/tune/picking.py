"""A design of a finished study, and its experiment file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from systolith.config import check_experiment, merge_tables
from systolith.foundation import UsageError, write_text

__all__ = ["find_design", "load_summary", "write_pick"]

RELATIVE = (("model", "weights"), ("data", "path"))
"""Keys whose values are paths, relative to the experiment file."""
REPLACED = ("multipliers", "target_fps", "arrays")
"""Keys of [hardware] that explicit arrays replace."""


def load_summary(folder: Path) -> dict[str, Any]:
    """Read the summary of a study.

    Raises
    ------
    UsageError
        If there is no study in the folder.
    """
    try:
        summary: dict[str, Any] = json.loads((folder / "study.json").read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} has no study.json of a search: {error}") from error
    return summary


def find_design(summary: Mapping[str, Any], wanted: str) -> dict[str, Any]:
    """Find a design by its number, or the best of the front by the name of an objective.

    Raises
    ------
    UsageError
        If there is no such design.
    """
    points: list[dict[str, Any]] = summary["points"]
    names = {objective["name"]: objective["direction"] for objective in summary["objectives"]}
    if wanted in names:
        front = [point for point in points if point["front"]]
        if not front:
            raise UsageError("the study has no front: no design keeps all limits")
        best = max if names[wanted] == "maximize" else min
        return best(front, key=lambda point: point["values"][wanted])
    for point in points:
        if point["number"] == wanted:
            return point
    front_names = ", ".join(point["number"] for point in points if point["front"])
    known = f"of its front: {front_names or 'none'}; or the best by {', '.join(names)}"
    raise UsageError(f"the study has no design '{wanted}'; {known}")


def write_pick(
    summary: Mapping[str, Any], design: Mapping[str, Any], path: Path, *, build: bool = True
) -> None:
    """Write an experiment file that trains a design in full, verifies it, and builds it.

    If the design was planned, the file fixes its PE arrays. Comments of the study's experiment file
    stay.

    Parameters
    ----------
    summary : mapping
        The study.
    design : mapping
        One of its designs.
    path : Path
        The experiment file.
    build : bool
        Whether to build a bitstream, if the design has a device that tools place on.

    Raises
    ------
    ConfigError
        If the experiment file of the study has changed so that the design does not fit it.
    """
    source = Path(summary["experiment"]["path"])
    document = tomlkit.parse(summary["experiment"]["text"])
    document.pop("tune", None)
    number = str(design["number"]).replace(".", "_")
    changes = {"name": f"{summary['name']}_{number}", **design["changes"]}
    if design["arrays"]:
        # Explicit arrays determine the multipliers and the speed.
        given = merge_tables(document.get("hardware", {}), changes.get("hardware", {}))
        hardware = {key: value for key, value in given.items() if key not in REPLACED}
        document["hardware"] = {}
        changes["hardware"] = {**hardware, "arrays": design["arrays"]}
    device = merge_tables(document.get("hardware", {}), changes.get("hardware", {})).get("device")
    if build and device is not None and "build" not in document:
        changes["build"] = {"device": device}
    for section, key in RELATIVE:
        if (given := document.get(section, {}).get(key)) is not None:
            there = (source.parent / given).resolve()
            document[section][key] = os.path.relpath(there, path.parent.resolve())
    _merge_in_place(document, changes)
    text = tomlkit.dumps(document)
    check_experiment(tomlkit.parse(text).unwrap(), path)
    write_text(path, text)


def _merge_in_place(table: Any, changes: Mapping[str, Any]) -> None:
    """Change a TOML document in place; tables are merged, anything else is replaced."""
    for key, change in changes.items():
        if isinstance(change, Mapping) and isinstance(table.get(key), Mapping):
            _merge_in_place(table[key], change)
        else:
            table[key] = change
