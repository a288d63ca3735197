"""The commands ``systolith tune`` and ``systolith tune pick``."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from systolith.cli.failures import explained
from systolith.cli.options import Config
from systolith.config import check_experiment, read_content
from systolith.config.tuning import SamplerName
from systolith.report import write_tuning_page
from systolith.steps.workspace import write_json
from systolith.tune import (
    Design,
    Study,
    Workers,
    account_of,
    briefly,
    find_design,
    load_account,
    objectives_of,
    write_pick,
)

__all__ = ["tune"]

out = Console()
err = Console(stderr=True)

MOST_ROWS = 24
"""Of the front, in a terminal."""


class _SearchByDefault(TyperGroup):
    """A group whose commands are few; anything else is an experiment file to search for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["search", *args]
        return super().parse_args(ctx, args)


tune = typer.Typer(
    cls=_SearchByDefault,
    help="Search patterns, widths and hardware together: systolith tune CONFIG.toml.",
    no_args_is_help=True,
)


@tune.command()
def search(
    config: Config,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder. Default: out/NAME.")
    ] = None,
    points: Annotated[
        int | None, typer.Option(min=1, help="Points to train, instead of the file's.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Time to search, instead of the file's.")
    ] = None,
    sampler: Annotated[
        SamplerName | None, typer.Option(help="Who proposes points, instead of the file's.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the sampler, instead of the file's.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Points trained at once. Default: one per core.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Dask scheduler whose workers train, such as tcp://.."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Optuna's store. Default: SQLite in the folder."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the study as JSON, nothing else.")
    ] = False,
) -> None:
    """Search, or go on with a search: what was trained is found again.

    Writes study.json and index.html into the folder: open it, choose a design, and take it on with
    `systolith tune pick`.
    """
    given = {
        "points": points,
        "minutes": minutes,
        "sampler": sampler and sampler.value,
        "seed": seed,
    }
    tuned = {key: value for key, value in given.items() if value is not None}
    changes: dict[str, Any] = {"tune": tuned} if tuned else {}
    with explained(err):
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
            with _watched(study, quiet=as_json):
                study.run()
            account = {
                **account_of(study, folder),
                "experiment": {"path": str(config.resolve()), "text": config.read_text()},
            }
        write_json(folder / "study.json", account)
        write_tuning_page(account, folder / "index.html")
    if as_json:
        print(json.dumps(account, indent=1))
        return
    out.print(front_table(account["objectives"], [p for p in account["points"] if p["front"]]))
    out.print(f"page: {folder}/index.html", highlight=False, soft_wrap=True)
    out.print(
        f"take one on: systolith tune pick {folder} NUMBER --output chosen.toml",
        highlight=False,
        soft_wrap=True,
    )


@tune.command()
def pick(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of a search.")],
    design: Annotated[
        str,
        typer.Argument(help="A design's number, or an objective: the best of the front by it."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: NAME_NUMBER.toml.")
    ] = None,
    no_build: Annotated[
        bool, typer.Option("--no-build", help="Stop at verified RTL: no bitstream.")
    ] = False,
) -> None:
    """Write a design's experiment file, for `systolith run` to train in full, prove and build."""
    with explained(err):
        account = load_account(folder)
        found = find_design(account, design)
        name = f"{account['name']}_{found['number'].replace('.', '_')}"
        path = output or Path(f"{name}.toml")
        write_pick(account, found, path, build=not no_build)
    values = ", ".join(
        f"{_shown(objective, found['values'][objective['name']])} {objective['label']}"
        for objective in account["objectives"]
    )
    out.print(f"design {found['number']}: {values}", highlight=False, soft_wrap=True)
    out.print(f"wrote {path}; next: systolith run {path}", highlight=False, soft_wrap=True)


def front_table(objectives: Sequence[dict[str, Any]], front: Sequence[dict[str, Any]]) -> Table:
    """Show designs of the front, the best by the first objective first."""
    sign = -1 if objectives[0]["direction"] == "maximize" else 1
    ordered = sorted(front, key=lambda point: sign * point["values"][objectives[0]["name"]])
    table = Table(title=f"front: {len(front)} designs", title_justify="left")
    table.add_column("design")
    for objective in objectives:
        table.add_column(objective["label"], justify="right")
    table.add_column("choices", overflow="fold")
    for point in ordered[:MOST_ROWS]:
        choices = _briefly(point["choices"])
        values = [_shown(objective, point["values"][objective["name"]]) for objective in objectives]
        table.add_row(point["number"], *values, choices)
    if len(ordered) > MOST_ROWS:
        table.add_row("...", *[""] * len(objectives), f"{len(ordered) - MOST_ROWS} more")
    return table


def _briefly(choices: dict[str, Any]) -> str:
    """Write choices as in ``conv2 2:8 w4, fc w8, multipliers 16``."""
    words: dict[str, list[str]] = {}
    for name, label in choices.items():
        for ending, letter in ((" pattern", ""), (" weight bits", "w"), (" activation bits", "a")):
            if name.endswith(ending):
                word = f"{letter}{label}".replace("-out-of-", ":")
                words.setdefault(name.removesuffix(ending), []).append(word)
                break
        else:
            words[name] = [str(label)]
    return ", ".join(" ".join([name, *each]) for name, each in words.items())


def _shown(objective: dict[str, Any], value: float) -> str:
    if objective["name"] == "accuracy":
        return f"{value:.2%}"
    return f"{value:,.1f}" if value < 1000 and value != int(value) else f"{value:,.0f}"


@contextmanager
def _watched(study: Study, *, quiet: bool) -> Iterator[None]:
    """Show what is being done, and after each batch the front."""
    if quiet:
        yield
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
    )
    task = progress.add_task("begin", total=None)
    with Live(progress, console=err, refresh_per_second=4) as live:

        def heard(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        def told(front: Sequence[Design]) -> None:
            table = front_table(objectives_of(study), [briefly(design) for design in front])
            live.update(Group(table, progress))

        study.heard, study.told = heard, told
        yield
