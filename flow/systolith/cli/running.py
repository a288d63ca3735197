"""What all commands that run stages do: open, run, show, exit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from systolith.cli.choices import InterfaceName
from systolith.cli.terminal import err, out

__all__ = ["run_stages"]


def run_stages(
    target: Path,
    goal: str | None,
    *,
    output: Path | None,
    as_json: bool,
    multipliers: int | None = None,
    images: str | None = None,
    interface: InterfaceName | None = None,
    rtl: Path | None = None,
    waveform: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Run a stage with what it needs, or all of them, and show what was found. Exits."""
    from systolith.cli.console import listening
    from systolith.cli.results import show
    from systolith.config import Interface
    from systolith.stages import open_run

    with listening(err, quiet=as_json) as listener:
        session = open_run(
            target,
            output,
            multipliers=multipliers,
            images=images,
            interface=None if interface is None else Interface(interface),
            rtl=rtl,
            waveform=waveform,
            changes=changes,
            listener=listener,
        )
        report = session.run(goal)
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        show(report, session.folder, out, err, planning=goal == "estimate")
    raise typer.Exit(1 if report.failed else 0)
