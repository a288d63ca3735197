"""What all commands that run stages do: open, run, show, exit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from systolith.cli.console import listening
from systolith.cli.failures import explained
from systolith.config import Interface
from systolith.report import Report, report_view
from systolith.steps import open_run

__all__ = ["err", "out", "run_stages"]

out = Console()
err = Console(stderr=True)


def run_stages(
    target: Path,
    goal: str | None,
    *,
    output: Path | None,
    as_json: bool,
    multipliers: int | None = None,
    images: str | None = None,
    interface: Interface | None = None,
    rtl: Path | None = None,
    waveform: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Run a stage with what it needs, or all of them, and show what was found. Exits."""
    with explained(err), listening(err, quiet=as_json) as listener:
        session = open_run(
            target,
            output,
            multipliers=multipliers,
            images=images,
            interface=interface,
            rtl=rtl,
            waveform=waveform,
            changes=changes,
            listener=listener,
        )
        report = session.run(goal)
    _show(report, session.folder, as_json=as_json, planning=goal == "estimate")
    raise typer.Exit(1 if report.failed else 0)


def _show(report: Report, folder: Path, *, as_json: bool, planning: bool) -> None:
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
        return
    out.print(report_view(report, planning=planning))
    for check in report.verification.get("checks", []):
        for line in check["findings"]:
            err.print(f"[bold red]not equal:[/] {line}", highlight=False, soft_wrap=True)
    if report.build.get("timing_met") is False:
        found, wanted = report.build["fmax_mhz_best"], report.build["clock_mhz"]
        text = f"[bold red]too slow:[/] {found:.1f} MHz reached, {wanted:g} MHz wanted"
        err.print(f"{text}; no bitstream was made", highlight=False, soft_wrap=True)
    out.print(f"results: {folder}/report.json", highlight=False, soft_wrap=True)
