"""The command line. Exit codes: 0 fine, 1 a check failed, 2 bad usage or input."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from systolith.cli.changes import METHODS, hardware_changes, pruning_changes, training_changes
from systolith.cli.console import listening
from systolith.cli.doctor import diagnose
from systolith.cli.failures import explained
from systolith.cli.fuzzing import fuzz
from systolith.config import Interface
from systolith.plan import DEVICES
from systolith.report import Report, report_view
from systolith.steps import open_run

__all__ = ["app", "main"]

app = typer.Typer(
    name="systolith",
    help="From a PyTorch CNN to a verified sparse FPGA accelerator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

out = Console()
err = Console(stderr=True)

Target = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG.toml|NETWORK.json",
        help="An experiment file, or a saved integer network.",
    ),
]
Config = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="An experiment file.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for results. Default: out/NAME."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON, nothing else.")]
Multipliers = Annotated[
    int | None, typer.Option(min=1, help="Budget of multipliers, instead of the file's.")
]
Device = Annotated[
    str | None, typer.Option(help=f"Budget: what a device has. One of {', '.join(DEVICES)}.")
]
TargetFps = Annotated[
    float | None,
    typer.Option(help="Frames per second: the smallest design that has them, not the fastest."),
]
ClockMhz = Annotated[float | None, typer.Option(help="Clock that frames per second count with.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed, instead of the file's.")]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate, instead of the file's.")]
Images = Annotated[
    str | None, typer.Option(metavar="N|all", help="How many images, instead of the file's.")
]


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
    _run(config, None, output=output, as_json=as_json, images=images)


@app.command()
def train(
    config: Config,
    output: Output = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs of float training, instead of the file's.")
    ] = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Train the dense float network. Resumes after an interruption."""
    changes = training_changes(seed=seed, float_epochs=epochs, learning_rate=learning_rate)
    _run(config, "train", output=output, as_json=as_json, changes=changes)


@app.command()
def prune(
    config: Config,
    output: Output = None,
    method: Annotated[
        str | None,
        typer.Option(help=f"Instead of the file's steps: {', '.join(METHODS)}."),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYERS=K:N", help="k out of n for matching layers; for --method, repeatable."
        ),
    ] = None,
    keep: Annotated[
        float | None, typer.Option(help="Share of filters to keep; for --method gdp and the like.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs of training while pruning.")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Train, then prune: exact masks, filters removed, pictures of what was kept: prune/."""
    with explained(err):
        changes = pruning_changes(method=method, rules=rule or [], keep=keep)
        changes |= training_changes(seed=seed, prune_epochs=epochs)
    _run(config, "prune", output=output, as_json=as_json, changes=changes)


@app.command()
def quantize(config: Config, output: Output = None, as_json: Json = False) -> None:
    """Train, prune, then train with quantized weights and activations: quantize/."""
    _run(config, "quantize", output=output, as_json=as_json)


@app.command()
def lower(config: Config, output: Output = None, as_json: Json = False) -> None:
    """Lower the trained network to integers: network.json and network.safetensors."""
    _run(config, "lower", output=output, as_json=as_json)


@app.command()
def estimate(
    target: Target,
    output: Output = None,
    multipliers: Multipliers = None,
    device: Device = None,
    target_fps: TargetFps = None,
    clock_mhz: ClockMhz = None,
    as_json: Json = False,
) -> None:
    """Plan the engines and predict their cycles, before any hardware exists."""
    _run(
        target,
        "estimate",
        output=output,
        as_json=as_json,
        multipliers=multipliers,
        changes=hardware_changes(device=device, target_fps=target_fps, clock_mhz=clock_mhz),
    )


@app.command()
def generate(
    target: Target,
    output: Output = None,
    multipliers: Multipliers = None,
    device: Device = None,
    target_fps: TargetFps = None,
    clock_mhz: ClockMhz = None,
    interface: Annotated[
        Interface | None, typer.Option(help="Around the accelerator, instead of the file's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the Verilog of the accelerator: rtl/."""
    _run(
        target,
        "generate",
        output=output,
        as_json=as_json,
        multipliers=multipliers,
        changes=hardware_changes(device=device, target_fps=target_fps, clock_mhz=clock_mhz),
        interface=interface,
    )


@app.command()
def verify(
    target: Target,
    output: Output = None,
    multipliers: Multipliers = None,
    device: Device = None,
    target_fps: TargetFps = None,
    clock_mhz: ClockMhz = None,
    images: Images = None,
    rtl: Annotated[
        Path | None,
        typer.Option(help="Verify the design in this folder instead of the generated one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify every layer with cocotb, under stalls, against PyTorch. Exit 1 on any difference."""
    _run(
        target,
        "verify",
        output=output,
        as_json=as_json,
        multipliers=multipliers,
        changes=hardware_changes(device=device, target_fps=target_fps, clock_mhz=clock_mhz),
        images=images,
        rtl=rtl,
    )


@app.command()
def simulate(
    target: Target,
    output: Output = None,
    multipliers: Multipliers = None,
    device: Device = None,
    target_fps: TargetFps = None,
    clock_mhz: ClockMhz = None,
    images: Images = None,
    waveform: Annotated[
        bool, typer.Option("--waveform", help="Also write one image's signals as FST.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Simulators at once, instead of the file's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulate many images with the native driver. Exit 1 on any difference."""
    _run(
        target,
        "simulate",
        output=output,
        as_json=as_json,
        multipliers=multipliers,
        changes={
            **hardware_changes(device=device, target_fps=target_fps, clock_mhz=clock_mhz),
            **({} if jobs is None else {"simulate": {"jobs": jobs}}),
        },
        images=images,
        waveform=waveform,
    )


app.command()(fuzz)


def _run(
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
    """Run a stage with what it needs, or all of them, and show what was found."""
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
    raise typer.Exit(1 if report.verified is False else 0)


def _show(report: Report, folder: Path, *, as_json: bool, planning: bool) -> None:
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
        return
    out.print(report_view(report, planning=planning))
    for check in report.verification.get("checks", []):
        for line in check["findings"]:
            err.print(f"[bold red]not equal:[/] {line}", highlight=False, soft_wrap=True)
    out.print(f"results: {folder}/report.json", highlight=False, soft_wrap=True)


def main() -> None:
    """Enter from the shell."""
    app()
