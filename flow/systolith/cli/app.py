"""The command line.

Exit codes: 0 fine, 1 a check failed, 2 bad usage or input, 3 a fault of systolith; 130 interrupted,
141 nobody reads what is printed.

Commands import what they need when they run, so that ``--help`` is quick.
"""

import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from systolith.cli.board import classify, flash
from systolith.cli.caches import provide_caches
from systolith.cli.commands import COMMANDS
from systolith.cli.doctor import doctor
from systolith.cli.exchanging import export_network, import_network
from systolith.cli.failures import explained
from systolith.cli.faults import reported
from systolith.cli.fuzzing import fuzz
from systolith.cli.starting import init
from systolith.cli.terminal import err, out
from systolith.cli.tuning import tune

__all__ = ["app", "main", "out"]

TRACEBACK = "--traceback"


class Commands(TyperGroup):
    """Commands whose errors are explained. ``--traceback`` may stand before them or after."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read options; commands read what is left."""
        if TRACEBACK in args:
            args = [TRACEBACK, *(each for each in args if each != TRACEBACK)]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with explained(err, traceback=ctx.params["traceback"]):
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


app.command()(init)


for command in (*COMMANDS, flash, classify, fuzz, doctor):
    app.command()(command)
app.command("import")(import_network)
app.command("export")(export_network)
app.add_typer(tune, name="tune")


def main() -> None:
    """Enter from the shell."""
    with reported(err, traceback=TRACEBACK in sys.argv):
        app()
