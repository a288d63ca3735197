"""How commands run stages: open the run, show progress, print the report and exit."""

import json
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from systolith.cli.changes import Changes, combine_changes
from systolith.cli.options import Json, Output
from systolith.cli.terminal import err, listening, out

if TYPE_CHECKING:
    from systolith.report import Report

__all__ = ["stage_command"]

Options = Callable[..., Changes]
"""A function from options of the command line to changes of the experiment."""


def stage_command(goal: str | None, *shared: Options) -> Callable[[Options], Callable[..., None]]:
    """Make a command that runs a stage from a function that takes the command's own options.

    Parameters
    ----------
    goal : str or None
        Name of the stage; None for all stages.
    *shared : callable
        Take options that several commands share. The first parameter of all functions is `target`.

    Returns
    -------
    callable
        Decorates the function. The command also takes ``--output`` and ``--json``.
    """

    def decorate(own: Options) -> Callable[..., None]:
        functions = [*shared, own]
        parameters = {
            name: parameter
            for function in functions
            for name, parameter in signature(function).parameters.items()
        }
        target = parameters.pop("target")
        every = (target, _OUTPUT, *parameters.values(), _AS_JSON)

        @wraps(own)
        def command(**values: Any) -> None:
            changes = combine_changes(
                *(
                    function(**{name: values[name] for name in signature(function).parameters})
                    for function in functions
                )
            )
            _run_stages(values["target"], goal, values["output"], values["as_json"], changes)

        command.__dict__["__signature__"] = Signature(
            [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in every]
        )
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
        return command

    return decorate


_OUTPUT = Parameter("output", Parameter.KEYWORD_ONLY, default=None, annotation=Output)
_AS_JSON = Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=Json)


def _run_stages(
    target: Path, goal: str | None, output: Path | None, as_json: bool, changes: Changes
) -> None:
    """Run a stage with those that it needs, or all stages, and show the report. Exits."""
    from systolith.stages import open_run

    with listening(quiet=as_json) as listener:
        session = open_run(target, output, changes=changes, listener=listener)
        session.report.command = _command_line()
        report = session.run(goal)
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
    else:
        _show(report, session.folder, planning=goal == "estimate")
    raise typer.Exit(1 if report.failed else 0)


def _show(report: "Report", folder: Path, *, planning: bool) -> None:
    """Print a report, and everything that is wrong on standard error.

    With `planning`, the report includes the resources of the engines.
    """
    from systolith.report import report_view

    out.print(report_view(report, planning=planning))
    for check in report.verification.checks:
        for line in check.findings:
            err.print(f"[bold red]not equal:[/] {line}", highlight=False, soft_wrap=True)
    placed = None if report.build is None else report.build.placed
    if placed is not None and not placed.timing_met:
        reached, wanted = placed.fmax_mhz_best, placed.clock_mhz
        text = f"[bold red]too slow:[/] {reached:.1f} MHz reached, {wanted:g} MHz wanted"
        err.print(f"{text}; no bitstream was made", highlight=False, soft_wrap=True)
    out.print(f"results: {folder}/report.json", highlight=False, soft_wrap=True)
    out.print(f"page: {folder}/report.html", highlight=False, soft_wrap=True)


def _command_line() -> str | None:
    """Return the command that repeats this run; None if Python code called this one."""
    program = Path(sys.argv[0]).stem
    return shlex.join([program, *sys.argv[1:]]) if program == "systolith" else None
