"""Commands of the hardware half: estimate, generate, verify, simulate, build."""

from pathlib import Path
from typing import Annotated

import typer

from systolith.cli.changes import build_changes, hardware_changes
from systolith.cli.choices import BOARDS, DEVICES, MOST_JOBS, InterfaceName
from systolith.cli.options import (
    ClockMhz,
    Device,
    Images,
    Json,
    Multipliers,
    Output,
    Target,
    TargetFps,
    beginning_in,
    same_option,
)
from systolith.cli.running import run_stages

__all__ = ["build", "estimate", "generate", "simulate", "verify"]


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
    run_stages(
        target,
        "estimate",
        output=output,
        as_json=as_json,
        multipliers=multipliers,
        changes=hardware_changes(device=device, target_fps=target_fps, clock_mhz=clock_mhz),
    )


def generate(
    target: Target,
    output: Output = None,
    multipliers: Multipliers = None,
    device: Device = None,
    target_fps: TargetFps = None,
    clock_mhz: ClockMhz = None,
    interface: Annotated[
        InterfaceName | None, typer.Option(help="Around the accelerator, instead of the file's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the Verilog of the accelerator: rtl/."""
    run_stages(
        target,
        "generate",
        output=output,
        as_json=as_json,
        multipliers=multipliers,
        changes=hardware_changes(device=device, target_fps=target_fps, clock_mhz=clock_mhz),
        interface=interface,
    )


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
    run_stages(
        target,
        "verify",
        output=output,
        as_json=as_json,
        multipliers=multipliers,
        changes=hardware_changes(device=device, target_fps=target_fps, clock_mhz=clock_mhz),
        images=images,
        rtl=rtl,
    )


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
        int | None,
        typer.Option(min=1, max=MOST_JOBS, help="Simulators at once, instead of the file's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulate many images with the native driver. Exit 1 on any difference."""
    run_stages(
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


def build(
    target: Target,
    output: Output = None,
    multipliers: Multipliers = None,
    device: Annotated[
        str | None,
        typer.Option(
            help=f"Build for, and plan within. One of {', '.join(DEVICES)}.",
            autocompletion=beginning_in(DEVICES),
        ),
    ] = None,
    speed: Annotated[int | None, typer.Option(help="Speed grade, such as 6 of ECP5.")] = None,
    package: Annotated[str | None, typer.Option(help="Package, such as CABGA381.")] = None,
    board: Annotated[
        str | None,
        typer.Option(
            help=f"Board, instead of a device: {', '.join(BOARDS)}.",
            autocompletion=beginning_in(BOARDS),
        ),
    ] = None,
    clock_mhz: Annotated[
        float | None,
        typer.Option(min=0, help="Clock that must be reached. Default: the device's."),
    ] = None,
    freq: Annotated[float | None, typer.Option(min=0, hidden=True)] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Placements to try; the fastest is kept.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=MOST_JOBS, help="Placements at once.")
    ] = None,
    check_netlist: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Simulate what was synthesized with N images."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Synthesize, place and route: build/, with a bitstream. Exit 1 if the clock is too slow.

    With --check-netlist, also if what was synthesized computes anything else than PyTorch does.
    """
    run_stages(
        target,
        "build",
        output=output,
        as_json=as_json,
        multipliers=multipliers,
        changes=build_changes(
            device=device,
            speed=speed,
            package=package,
            board=board,
            clock_mhz=same_option("--clock-mhz", clock_mhz, "--freq", freq),
            seeds=seeds,
            jobs=jobs,
            check_netlist=check_netlist,
        ),
    )
