"""The command line. Exit codes: 0 fine, 1 a check failed, 2 bad usage or input."""

import json
from dataclasses import asdict

import typer
from rich.table import Table

from systolith.cli.board import classify, flash
from systolith.cli.doctor import diagnose
from systolith.cli.exchanging import export_network, import_network
from systolith.cli.fuzzing import fuzz
from systolith.cli.hardware import build, estimate, generate, simulate, verify
from systolith.cli.options import Config, Images, Json, Output
from systolith.cli.running import out, run_stages
from systolith.cli.software import lower, prune, quantize, train
from systolith.cli.tuning import tune

__all__ = ["app", "main"]

app = typer.Typer(
    name="systolith",
    help="From a PyTorch CNN to a verified sparse FPGA accelerator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has of what systolith needs. Exit 1 if something is missing."""
    checks = diagnose()
    if as_json:
        print(json.dumps([asdict(check) | {"passed": check.passed} for check in checks], indent=1))
    else:
        table = Table(title="systolith doctor", title_justify="left")
        for column in ("what", "found", "for, or how to get it"):
            table.add_column(column)
        for check in checks:
            missing = "[red]missing[/]" if check.required else "[yellow]missing (optional)[/]"
            table.add_row(check.name, check.found or missing, check.purpose)
        out.print(table)
    raise typer.Exit(0 if all(check.passed for check in checks) else 1)


@app.command()
def run(
    config: Config,
    output: Output = None,
    images: Images = None,
    as_json: Json = False,
) -> None:
    """Run all stages: train, prune, quantize, lower, estimate, generate, verify, simulate.

    Resumes by itself: finished stages are found again, and so are finished epochs.
    """
    run_stages(config, None, output=output, as_json=as_json, images=images)


HALVES = (train, prune, quantize, lower, estimate, generate, verify, simulate, build)
for command in (*HALVES, flash, classify, fuzz):
    app.command()(command)
app.command("import")(import_network)
app.command("export")(export_network)
app.add_typer(tune, name="tune")


def main() -> None:
    """Enter from the shell."""
    app()
