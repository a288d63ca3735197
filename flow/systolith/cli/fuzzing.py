"""The command ``systolith fuzz``."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from systolith.cli.failures import explained
from systolith.fuzz import KINDS, MOST_LAYERS, FuzzResult, Kind, Verdict, load_case, replay
from systolith.fuzz import fuzz as search
from systolith.steps import UsageError

__all__ = ["fuzz"]

out = Console()
err = Console(stderr=True)

LINE_EVERY = 10
"""Networks."""


def fuzz(
    count: Annotated[int, typer.Option(min=1, help="How many networks.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of all of them.")] = 0,
    first: Annotated[
        int, typer.Option(min=0, help="Number of the first one, such as to go on.")
    ] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the cases that fail.")
    ] = Path("out/fuzz"),
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Networks at once. Default: one per core.")
    ] = None,
    most_layers: Annotated[
        int, typer.Option(min=1, help="Layers of a network at most, besides flattenings.")
    ] = MOST_LAYERS,
    again: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FOLDER", help="Check one case again that failed."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, nothing else.")
    ] = False,
) -> None:
    """Check random networks, all the way from the contract to RTL. Exit 1 on any difference.

    Every kind of layer and pattern that an engine exists for; every stream under stalls, and the
    cycles of every frame. A network that fails is shrunk to a simple one, which is kept.
    """
    with explained(err):
        if again is not None:
            verdict = _replayed(again)
            _show_verdict(again, verdict, as_json=as_json)
            raise typer.Exit(0 if verdict.passed else 1)
        with _bar(count, quiet=as_json) as heard:
            cores = len(os.sched_getaffinity(0))
            result = search(
                count,
                seed,
                output,
                first=first,
                jobs=jobs or cores,
                most_layers=most_layers,
                progress=heard,
            )
    _show(result, as_json=as_json)
    raise typer.Exit(0 if result.passed else 1)


def _replayed(folder: Path) -> Verdict:
    if not (folder / "case.json").is_file():
        raise UsageError(f"--replay needs a folder with a case.json, got {folder}")
    try:
        return replay(load_case(folder))
    except ValueError as error:
        raise UsageError(str(error)) from error


@contextmanager
def _bar(count: int, *, quiet: bool) -> Iterator[Callable[[FuzzResult], None] | None]:
    if quiet:
        yield None
        return
    if not err.is_terminal:
        yield _lines(count)
        return
    columns = (
        TextColumn("fuzz"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed} of {task.total} networks"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("fuzz", total=count, text="")

        def heard(result: FuzzResult) -> None:
            failed = len(result.failures)
            text = f"[bold red]{failed} failed[/]" if failed else "all equal,"
            progress.update(task, completed=result.networks, text=text)

        yield heard


def _lines(count: int) -> Callable[[FuzzResult], None]:
    """Progress for a file."""

    def heard(result: FuzzResult) -> None:
        if result.networks % LINE_EVERY == 0:
            print(
                f"{result.networks} of {count} networks, {len(result.failures)} failed",
                file=sys.stderr,
                flush=True,
            )

    return heard


def _show(result: FuzzResult, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_to_json(result), indent=1))
        return
    out.print(Panel(Group(*_tables(result)), title="systolith: fuzz", expand=False))
    for failure in result.failures:
        _say(failure.verdict)
        again = f"systolith fuzz --replay {failure.folder}"
        err.print(f"network {failure.number}, simplified: {again}", highlight=False, soft_wrap=True)


def _tables(result: FuzzResult) -> Iterator[RenderableType]:
    covered = Table(title="Layers drawn", title_justify="left", show_header=False)
    for kind in KINDS:
        covered.add_row(kind, f"{result.contents[kind]:,}")
    yield covered
    table = Table(title="Result", title_justify="left", show_header=False)
    table.add_row("networks", f"{result.networks:,} (seed {result.seed})")
    table.add_row("mismatches", f"{result.failed[Kind.MISMATCH]:,}")
    table.add_row("cycle errors", f"{result.failed[Kind.CYCLES]:,}")
    table.add_row("errors", f"{result.failed[Kind.ERROR]:,}")
    table.add_row("time", f"{result.seconds:,.0f} s")
    yield table


def _to_json(result: FuzzResult) -> dict[str, Any]:
    return {
        "seed": result.seed,
        "networks": result.networks,
        "mismatches": result.failed[Kind.MISMATCH],
        "cycle_errors": result.failed[Kind.CYCLES],
        "errors": result.failed[Kind.ERROR],
        "passed": result.passed,
        "seconds": result.seconds,
        "layers": {kind: result.contents[kind] for kind in KINDS},
        "failures": [
            {
                "number": failure.number,
                "folder": str(failure.folder),
                "findings": _findings(failure.verdict),
            }
            for failure in result.failures
        ],
    }


def _findings(verdict: Verdict) -> list[str]:
    return [f"{kind.value}: {text}" for kind, text in verdict.findings]


def _show_verdict(folder: Path, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        findings = _findings(verdict)
        print(json.dumps({"passed": verdict.passed, "findings": findings}, indent=1))
        return
    _say(verdict)
    out.print(f"{folder}: {'equal' if verdict.passed else 'NOT EQUAL'}", highlight=False)


def _say(verdict: Verdict) -> None:
    for finding in _findings(verdict):
        err.print(f"[bold red]not equal:[/] {finding}", highlight=False, soft_wrap=True)
