"""The work and the output of ``systolith fuzz``."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from systolith.cli.terminal import err, out, tracking
from systolith.foundation import UsageError
from systolith.fuzz import (
    CONTENTS,
    FindingKind,
    FuzzProgress,
    FuzzResult,
    FuzzTarget,
    RtlTarget,
    Verdict,
    judge_within,
    search,
)

__all__ = ["DOORS", "replay_case", "run_search"]

DOOR_SECONDS = 120
"""That a case of a door may take; it takes well under one."""
DOOR_ATTEMPTS = 400
"""Smaller cases that a door judges for each failure."""
MOST_REASONS = 25


@dataclass(frozen=True, slots=True)
class Door:
    """What cases can go through.

    Attributes
    ----------
    cases : str
        What they are called.
    file : str
        Tells a kept case of this door from others.
    seconds : int, optional
        That a case may take.
    attempts : int
        Smaller cases to judge for each failure.
    target : callable
        Makes the target, given the most layers of a network.
    """

    cases: str
    file: str
    seconds: int | None
    attempts: int
    target: Callable[[int], FuzzTarget[Any]]


def _pytorch(most_layers: int) -> FuzzTarget[Any]:
    from systolith.fuzz.programs import ProgramTarget

    return ProgramTarget()


def _onnx(most_layers: int) -> FuzzTarget[Any]:
    from systolith.fuzz.graphs import GraphTarget

    return GraphTarget()


def _tflite(most_layers: int) -> FuzzTarget[Any]:
    from systolith.fuzz.files import FileTarget

    return FileTarget()


DOORS: Mapping[str, Door] = {
    "rtl": Door("networks", "network.json", None, 80, RtlTarget),
    "pytorch": Door("programs", "model.py", DOOR_SECONDS, DOOR_ATTEMPTS, _pytorch),
    "onnx": Door("graphs", "model.onnx", DOOR_SECONDS, DOOR_ATTEMPTS, _onnx),
    "tflite": Door("files", "model.tflite", DOOR_SECONDS, DOOR_ATTEMPTS, _tflite),
}


def replay_case(folder: Path, *, as_json: bool) -> bool:
    """Check one case again and print the findings. Returns whether all is equal."""
    verdict = _replayed(folder)
    _show_verdict(folder, verdict, as_json=as_json)
    return verdict.passed


def run_search(
    door: str,
    count: int,
    seed: int,
    output: Path,
    *,
    first: int,
    jobs: int | None,
    most_layers: int,
    most_failures: int,
    as_json: bool,
) -> bool:
    """Check random cases and print the findings. Returns whether all are equal."""
    chosen = DOORS[door]
    target = chosen.target(most_layers)
    with _show_progress(chosen.cases, count, output, quiet=as_json) as progress:
        result = search(
            target,
            count,
            seed,
            output,
            first=first,
            jobs=jobs or len(os.sched_getaffinity(0)),
            most_failures=most_failures,
            shrink_attempts=chosen.attempts,
            seconds=chosen.seconds,
            progress=progress,
        )
    _show(door, result, as_json=as_json)
    return result.passed


def _replayed(folder: Path) -> Verdict:
    if not (folder / "case.json").is_file():
        raise UsageError(f"--replay needs a folder with a case.json, got {folder}")
    door = next((way for way in DOORS.values() if (folder / way.file).is_file()), DOORS["rtl"])
    target = door.target(0)
    try:
        case = target.load(folder)
    except ValueError as error:
        raise UsageError(str(error)) from error
    target.require()
    with tempfile.TemporaryDirectory() as builds:
        if door.seconds is None:
            return target.judge(case, Path(builds))
        return judge_within(door.seconds, lambda: target.judge(case, Path(builds)))


@contextmanager
def _show_progress(
    cases: str, count: int, output: Path, *, quiet: bool
) -> Iterator[Callable[[FuzzProgress], None]]:
    """Draw a bar in a terminal, or write lines; lines also go to the log in `output`."""
    columns = (
        TextColumn("fuzz"),
        BarColumn(bar_width=30),
        TextColumn(f"{{task.completed}} of {{task.total}} {cases}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    disabled = quiet or not err.is_terminal
    with (
        tracking("fuzz", None if quiet else output, quiet=quiet, each_unit=False) as report,
        Progress(*columns, console=err, disable=disabled) as bars,
    ):
        task = bars.add_task("fuzz", total=count, text="")

        def update(now: FuzzProgress) -> None:
            failed = len(now.result.failures)
            report(replace(now, text=f"{cases}, {failed} failed"))
            text = f"[bold red]{failed} failed[/]" if failed else "all equal,"
            bars.update(task, completed=now.done, text=text)

        yield update


def _show(door: str, result: FuzzResult, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_to_json(door, result), indent=1))
        return
    tables = _rtl_tables(result) if door == "rtl" else _door_tables(door, result)
    out.print(Panel(Group(*tables), title="systolith: fuzz", expand=False))
    for failure in result.failures:
        _say(failure.verdict)
        again = f"systolith fuzz --replay {failure.folder}"
        text = f"{DOORS[door].cases[:-1]} {failure.number}, simplified: {again}"
        err.print(text, highlight=False, soft_wrap=True)


def _rtl_tables(result: FuzzResult) -> Iterator[RenderableType]:
    covered = Table(title="Layers drawn", title_justify="left", show_header=False)
    for kind in CONTENTS:
        covered.add_row(kind, f"{result.contents[kind]:,}")
    yield covered
    table = Table(title="Result", title_justify="left", show_header=False)
    table.add_row("networks", f"{result.networks:,} (seed {result.seed})")
    table.add_row("mismatches", f"{result.failed[FindingKind.MISMATCH]:,}")
    table.add_row("cycle errors", f"{result.failed[FindingKind.CYCLES]:,}")
    table.add_row("errors", f"{result.failed[FindingKind.ERROR]:,}")
    table.add_row("time", f"{result.seconds:,.0f} s")
    yield table


def _door_tables(door: str, result: FuzzResult) -> Iterator[RenderableType]:
    covered = Table(title="Cases that contain", title_justify="left")
    covered.add_column("")
    for outcome in ("accepted", "refused", "wrong"):
        covered.add_column(outcome, justify="right")
    for kind, counts in _coverage(result).items():
        covered.add_row(kind, *(f"{count:,}" for count in counts.values()))
    yield covered
    refused = Table(title="Reasons to refuse", title_justify="left", show_header=False)
    for reason, count in result.refusals.most_common(MOST_REASONS):
        refused.add_row(f"{count:,}", reason)
    yield refused
    table = Table(title="Result", title_justify="left", show_header=False)
    table.add_row(DOORS[door].cases, f"{result.networks:,} (seed {result.seed})")
    for outcome in ("accepted", "refused", "wrong"):
        share = result.ended[outcome] / max(result.networks, 1)
        table.add_row(outcome, f"{result.ended[outcome]:,} ({share:.0%})")
    table.add_row("wrong values", f"{result.failed[FindingKind.MISMATCH]:,}")
    table.add_row("errors", f"{result.failed[FindingKind.ERROR]:,}")
    table.add_row("time", f"{result.seconds:,.0f} s")
    yield table


def _coverage(result: FuzzResult) -> dict[str, dict[str, int]]:
    """Count the cases of each outcome that contain each thing."""
    return {
        kind: {
            outcome: result.outcomes[outcome][kind] for outcome in ("accepted", "refused", "wrong")
        }
        for kind in sorted(result.contents)
    }


def _to_json(door: str, result: FuzzResult) -> dict[str, Any]:
    summary = {
        "door": door,
        "seed": result.seed,
        "networks": result.networks,
        "mismatches": result.failed[FindingKind.MISMATCH],
        "cycle_errors": result.failed[FindingKind.CYCLES],
        "errors": result.failed[FindingKind.ERROR],
        "passed": result.passed,
        "seconds": result.seconds,
        "failures": [
            {
                "number": failure.number,
                "folder": str(failure.folder),
                "findings": _findings(failure.verdict),
            }
            for failure in result.failures
        ],
    }
    if door == "rtl":
        return summary | {"layers": {kind: result.contents[kind] for kind in CONTENTS}}
    outcomes = {outcome: result.ended[outcome] for outcome in ("accepted", "refused", "wrong")}
    return summary | {
        **outcomes,
        "contents": _coverage(result),
        "refusals": dict(result.refusals.most_common()),
    }


def _findings(verdict: Verdict) -> list[str]:
    return [f"{kind.value}: {text}" for kind, text in verdict.findings]


def _show_verdict(folder: Path, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        findings = _findings(verdict)
        shown = {"passed": verdict.passed, "findings": findings}
        if verdict.refusals:
            shown["refusals"] = list(verdict.refusals)
        print(json.dumps(shown, indent=1))
        return
    _say(verdict)
    words = {"accepted": "equal", "refused": "refused", "wrong": "NOT EQUAL"}
    for reason in verdict.refusals:
        err.print(reason, highlight=False, soft_wrap=True, markup=False)
    out.print(f"{folder}: {words[verdict.outcome]}", highlight=False)


def _say(verdict: Verdict) -> None:
    for finding in _findings(verdict):
        err.print(f"[bold red]not equal:[/] {finding}", highlight=False, soft_wrap=True)
