"""What ``systolith fuzz`` does and prints."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from systolith.cli.terminal import err, out
from systolith.fuzz import KINDS, FuzzResult, Kind, Verdict, fuzz, load_case, replay
from systolith.steps import UsageError

__all__ = ["replay_case", "run_search"]

LINE_EVERY = 10
"""Networks."""


def replay_case(folder: Path, *, as_json: bool) -> bool:
    """Check one case again, and print what is found; gives whether all is equal."""
    verdict = _replayed(folder)
    _show_verdict(folder, verdict, as_json=as_json)
    return verdict.passed


def run_search(
    count: int,
    seed: int,
    output: Path,
    *,
    first: int,
    jobs: int | None,
    most_layers: int,
    as_json: bool,
) -> bool:
    """Check random networks, and print what is found; gives whether all are equal."""
    with _bar(count, quiet=as_json) as heard:
        result = fuzz(
            count,
            seed,
            output,
            first=first,
            jobs=jobs or len(os.sched_getaffinity(0)),
            most_layers=most_layers,
            progress=heard,
        )
    _show(result, as_json=as_json)
    return result.passed


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
