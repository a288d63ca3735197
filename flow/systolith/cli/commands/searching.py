"""The commands ``systolith tune`` and ``systolith tune pick``."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBars

from systolith.cli.errors.failures import CHECK_FAILED, print_error
from systolith.cli.terminal import err, out, write_line
from systolith.config import ObjectiveName, check_experiment, read_content
from systolith.foundation import Journal, Progress, open_log, write_json
from systolith.report import FittedTable, count_of, write_tuning_page
from systolith.tune import (
    MAXIMIZED,
    DesignPoint,
    Study,
    Workers,
    describe_objectives,
    find_design,
    load_summary,
    summarize_design,
    summarize_study,
    write_pick,
)

__all__ = ["front_table", "pick_design", "search_designs"]

MOST_ROWS = 24
"""Largest number of designs in the table of the front."""


def search_designs(
    config: Path,
    output: Path | None,
    tuned: Mapping[str, Any],
    *,
    jobs: int | None,
    scheduler: str | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Search the space of an experiment, with some keys of ``[tune]`` changed; print the front."""
    changes: dict[str, Any] = {"tune": tuned} if tuned else {}
    content = read_content(config)
    experiment = check_experiment(content, config, changes)
    folder = output or Path("out") / experiment.name
    cores = len(os.sched_getaffinity(0))
    seconds = experiment.tune.timeout_seconds if experiment.tune else 1.0
    with Workers(jobs or cores, scheduler=scheduler, seconds=seconds) as workers:
        study = Study(
            {**content, **changes, "tune": {**content.get("tune", {}), **tuned}},
            experiment,
            config.parent,
            folder,
            workers,
            storage=storage,
        )
        with _show_live(study, folder, quiet=as_json):
            study.run()
        summary = {
            **summarize_study(study, folder),
            "experiment": {"path": str(config.resolve()), "text": config.read_text()},
        }
    write_json(folder / "study.json", summary)
    write_tuning_page(summary, folder / "index.html")
    if as_json:
        print(json.dumps(summary, indent=1))
        return
    front = [point for point in summary["points"] if point["front"]]
    if not front:
        limits = experiment.tune.limits if experiment.tune else {}
        print_error(err, _explain_empty_front(summary, limits))
        raise typer.Exit(CHECK_FAILED)
    out.print(front_table(summary["objectives"], front))
    out.print(f"page: {folder}/index.html", highlight=False, soft_wrap=True)
    out.print(
        f"take one on: systolith tune pick {folder} NUMBER --output chosen.toml",
        highlight=False,
        soft_wrap=True,
    )


def _explain_empty_front(summary: Mapping[str, Any], limits: Mapping[ObjectiveName, float]) -> str:
    """Explain an empty front: the best figure of each limit, or why nothing was trained."""
    if not summary["points"]:
        reasons = {failure["reason"] for failure in summary["failures"]}
        return f"no design was trained: {'; '.join(sorted(reasons)) or summary['states']}"
    best_figures = []
    for name, limit in limits.items():
        best = max if name in MAXIMIZED else min
        figure = best(point["values"][name.value] for point in summary["points"])
        best_figures.append(f"limits.{name} = {limit:g}, the best is {figure:g}")
    designs = count_of(len(summary["points"]), "design")
    return f"none of {designs} keeps to the limits: {'; '.join(best_figures)}"


def pick_design(folder: Path, design: str, output: Path | None, *, build: bool) -> None:
    """Write the experiment file of a design, and print the figures of the design."""
    summary = load_summary(folder)
    point = find_design(summary, design)
    name = f"{summary['name']}_{point['number'].replace('.', '_')}"
    path = output or Path(f"{name}.toml")
    write_pick(summary, point, path, build=build)
    values = ", ".join(
        f"{_format(objective, point['values'][objective['name']])} {objective['label']}"
        for objective in summary["objectives"]
    )
    out.print(f"design {point['number']}: {values}", highlight=False, soft_wrap=True)
    out.print(f"wrote {path}; next: systolith run {path}", highlight=False, soft_wrap=True)


def front_table(
    objectives: Sequence[dict[str, Any]], front: Sequence[dict[str, Any]]
) -> FittedTable:
    """List the designs of the front, the best by the first objective first."""
    sign = -1 if objectives[0]["direction"] == "maximize" else 1
    ordered = sorted(front, key=lambda point: sign * point["values"][objectives[0]["name"]])
    table = FittedTable(f"front: {len(front)} designs")
    table.add_column("design")
    for number, objective in enumerate(objectives):
        table.add_column(objective["label"], rank=number, justify="right")
    table.add_column("choices", wraps=True)
    for point in ordered[:MOST_ROWS]:
        choices = _abbreviate(point["choices"])
        values = [
            _format(objective, point["values"][objective["name"]]) for objective in objectives
        ]
        table.add_row(point["number"], *values, choices)
    if len(ordered) > MOST_ROWS:
        table.add_row("...", *[""] * len(objectives), f"{len(ordered) - MOST_ROWS} more")
    return table


def _abbreviate(choices: dict[str, Any]) -> str:
    """Abbreviate choices, such as ``conv2 2:8 w4, fc w8, multipliers 16``."""
    labels: dict[str, list[str]] = {}
    for name, label in choices.items():
        for ending, letter in ((" pattern", ""), (" weight bits", "w"), (" activation bits", "a")):
            if name.endswith(ending):
                word = f"{letter}{label}".replace("-out-of-", ":")
                labels.setdefault(name.removesuffix(ending), []).append(word)
                break
        else:
            labels[name] = [str(label)]
    return ", ".join(" ".join([name, *chosen]) for name, chosen in labels.items())


def _format(objective: dict[str, Any], value: float) -> str:
    if objective["name"] == "accuracy":
        return f"{value:.2%}"
    return f"{value:,.1f}" if value < 1000 and value != int(value) else f"{value:,.0f}"


@contextmanager
def _show_live(study: Study, folder: Path, *, quiet: bool) -> Iterator[None]:
    """Show the progress, and the front after each batch; log both as plain lines."""
    log = Journal(open_log(folder))
    plain = [log] if quiet or err.is_terminal else [log, Journal(write_line)]

    def note_progress(progress: Progress) -> None:
        for journal in plain:
            journal.task(progress)

    def note_front(front: Sequence[DesignPoint]) -> None:
        for journal in plain:
            journal.note(f"front: {count_of(len(front), 'design')}")

    study.progress, study.on_front = note_progress, note_front
    if quiet or not err.is_terminal:
        yield
        return
    bars = ProgressBars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
    )
    task = bars.add_task("begin", total=None)
    with Live(bars, console=err, refresh_per_second=4) as live:

        def show_progress(progress: Progress) -> None:
            note_progress(progress)
            bars.update(
                task, description=progress.task, completed=progress.done, total=progress.total
            )

        def show_front(front: Sequence[DesignPoint]) -> None:
            note_front(front)
            table = front_table(
                describe_objectives(study), [summarize_design(design) for design in front]
            )
            live.update(Group(table, bars))

        study.progress, study.on_front = show_progress, show_front
        yield
