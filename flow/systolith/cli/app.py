"""The command line.

Exit codes: 0 success, 1 a check failed, 2 bad usage or input, 3 a fault of systolith,
130 interrupted, 141 the reader of the output has left.

Functions of commands import what they need when they run, so that ``--help`` is quick. They are
named like their commands and are private to this package.
"""

import shlex
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from systolith.cli.caches import provide_caches
from systolith.cli.commands.board import classify, flash
from systolith.cli.commands.checking import check
from systolith.cli.commands.diagnosis import doctor
from systolith.cli.commands.fuzzing import fuzz
from systolith.cli.commands.rolling import roll
from systolith.cli.commands.runner import eembc
from systolith.cli.commands.stages import COMMANDS
from systolith.cli.commands.tuning import tune
from systolith.cli.commands.zoo import zoo
from systolith.cli.errors.failures import explain_errors
from systolith.cli.errors.faults import report_faults
from systolith.cli.errors.warning_lines import printing_warnings
from systolith.cli.exchange.exchanging import export_network, import_network
from systolith.cli.terminal import err, out
from systolith.foundation import UsageError

__all__ = ["FILES", "app", "main", "out"]

FILES = ("experiment.toml", "my_model.py", "my_data.py")
"""Files that ``systolith init`` writes."""

TRACEBACK = "--traceback"


class Commands(TyperGroup):
    """Commands with explained errors. ``--traceback`` may stand before or after a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before a command."""
        if TRACEBACK in args:
            args = [TRACEBACK, *(argument for argument in args if argument != TRACEBACK)]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with explain_errors(err, traceback=ctx.params["traceback"]), printing_warnings():
            provide_caches()
            return super().invoke(ctx)


app = typer.Typer(
    name="systolith",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"systolith {version('systolith')}")
        raise typer.Exit


@app.callback()
def systolith(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version, and end."
        ),
    ] = False,
    traceback: Annotated[
        bool, typer.Option(TRACEBACK, help="Show where in the code an error was found, too.")
    ] = False,
) -> None:
    """From a PyTorch CNN to a verified sparse FPGA accelerator."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is not there.")] = Path(),
) -> None:
    """Write an experiment file, a model and a data loader to begin with. Overwrites nothing."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"init needs a folder, but '{folder}' is a file")
    present = [str(folder / name) for name in FILES if (folder / name).exists()]
    if present:
        raise UsageError(
            f"init overwrites nothing, but there is {', '.join(present)}; give another folder, "
            f"such as: systolith init {folder / 'new'}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    templates = files("systolith.cli") / "templates"
    written: list[Path] = []
    try:
        for name in FILES:
            with (folder / name).open("x", encoding="utf-8") as file:
                written.append(folder / name)
                file.write((templates / name).read_text(encoding="utf-8"))
    except OSError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    for path in written:
        out.print(f"wrote {path}", highlight=False, soft_wrap=True)
    where = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    out.print(f"next: {where}systolith run {FILES[0]}", highlight=False, soft_wrap=True)


for command in (check, *COMMANDS, flash, classify, eembc, roll, fuzz, doctor):
    app.command()(command)
app.command("import")(import_network)
app.command("export")(export_network)
app.add_typer(tune, name="tune")
app.add_typer(zoo, name="zoo")


def main() -> None:
    """Run the command line."""
    with report_faults(err, traceback=TRACEBACK in sys.argv):
        app()
