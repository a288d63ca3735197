"""The commands that run stages: run, train, prune, quantize, lower, estimate, ..., build.

Each function here takes the options of one command and returns the changes that they make to the
experiment. The decorator makes a command of it.
"""

from pathlib import Path
from typing import Annotated

import typer

from systolith.cli.changes import (
    Changes,
    build_changes,
    combine_changes,
    image_changes,
    pruning_changes,
    rtl_changes,
    section_changes,
)
from systolith.cli.commands.running import stage_command
from systolith.cli.options import (
    BOARDS,
    DEVICES,
    METHODS,
    MOST_JOBS,
    ClassOnChip,
    ClockMhz,
    Config,
    DeviceName,
    ImageSource,
    InterfaceName,
    LearningRate,
    Multipliers,
    PlacerName,
    RouterName,
    Seed,
    Target,
    TargetFps,
    ToolsName,
    complete_from,
    merge_synonyms,
)

__all__ = ["COMMANDS"]


@stage_command(None)
def run(target: Config, images: ImageSource = None) -> Changes:
    """Run all stages: train, prune, quantize, lower, estimate, generate, verify, simulate.

    Resumes by itself: finished stages and epochs are cached.
    """
    return image_changes(target, images)


@stage_command("train")
def train(
    target: Config,
    epochs: Annotated[
        int | None, typer.Option(min=0, help="Epochs of float training, instead of the file's.")
    ] = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
) -> Changes:
    """Train the dense float network. Resumes after an interruption."""
    training = section_changes("train", float_epochs=epochs, learning_rate=learning_rate)
    return combine_changes(training, {} if seed is None else {"seed": seed})


@stage_command("prune")
def prune(
    target: Config,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"Instead of the file's steps: {', '.join(METHODS)}.",
            autocompletion=complete_from(METHODS),
        ),
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
) -> Changes:
    """Train, then prune: exact masks, filters removed, pictures of what was kept: prune/."""
    return combine_changes(
        pruning_changes(method=method, rules=rule or [], keep=keep),
        section_changes("train", prune_epochs=epochs),
        {} if seed is None else {"seed": seed},
    )


@stage_command("quantize")
def quantize(target: Config) -> Changes:
    """Train, prune, then train with quantized weights and activations: quantize/."""
    return {}


@stage_command("lower")
def lower(target: Config) -> Changes:
    """Lower the trained network to integers: network.json and network.safetensors."""
    return {}


def _change_plan(
    target: Target,
    multipliers: Multipliers = None,
    device: DeviceName = None,
    target_fps: TargetFps = None,
    clock_mhz: ClockMhz = None,
    class_on_chip: ClassOnChip = False,
) -> Changes:
    """Take the options of all commands that plan engines."""
    return section_changes(
        "hardware",
        class_on_chip=class_on_chip or None,
        multipliers=multipliers,
        device=device,
        target_fps=target_fps,
        clock_mhz=clock_mhz,
    )


@stage_command("estimate", _change_plan)
def estimate() -> Changes:
    """Plan the engines and predict their cycles, before any hardware exists."""
    return {}


@stage_command("generate", _change_plan)
def generate(
    interface: Annotated[
        InterfaceName | None, typer.Option(help="Around the accelerator, instead of the file's.")
    ] = None,
) -> Changes:
    """Write the Verilog of the accelerator: rtl/."""
    return section_changes("hardware", interface=interface)


@stage_command("verify", _change_plan)
def verify(
    target: Target,
    images: ImageSource = None,
    rtl: Annotated[
        Path | None,
        typer.Option(help="Verify the design in this folder instead of the generated one."),
    ] = None,
) -> Changes:
    """Verify every layer with cocotb, under stalls, against PyTorch. Exit 1 on any difference."""
    return combine_changes(image_changes(target, images), rtl_changes(rtl))


@stage_command("simulate", _change_plan)
def simulate(
    target: Target,
    images: ImageSource = None,
    waveform: Annotated[
        bool, typer.Option("--waveform", help="Also write one image's signals as FST.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_JOBS, help="Simulators at once, instead of the file's."),
    ] = None,
) -> Changes:
    """Simulate many images with the native driver. Exit 1 on any difference."""
    return combine_changes(
        image_changes(target, images),
        section_changes("simulate", jobs=jobs, waveform=waveform or None),
    )


@stage_command("build")
def build(
    target: Target,
    multipliers: Multipliers = None,
    class_on_chip: ClassOnChip = False,
    device: Annotated[
        str | None,
        typer.Option(
            help=f"Build for, and plan within. One of {', '.join(DEVICES)}.",
            autocompletion=complete_from(DEVICES),
        ),
    ] = None,
    speed: Annotated[int | None, typer.Option(help="Speed grade, such as 6 of ECP5.")] = None,
    package: Annotated[str | None, typer.Option(help="Package, such as CABGA381.")] = None,
    board: Annotated[
        str | None,
        typer.Option(
            help=f"Board, instead of a device: {', '.join(BOARDS)}.",
            autocompletion=complete_from(BOARDS),
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
    placer: Annotated[PlacerName | None, typer.Option(help="Placer of nextpnr.")] = None,
    router: Annotated[
        RouterName | None,
        typer.Option(help="Router of nextpnr; both: keep the faster result."),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="MINUTES", help="Take the best of the seeds that are finished by then."
        ),
    ] = None,
    tools: Annotated[
        ToolsName | None,
        typer.Option(help="Yosys and nextpnr: wheels, those on PATH, or the newer ones."),
    ] = None,
    check_netlist: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Simulate what was synthesized with N images."),
    ] = None,
) -> Changes:
    """Synthesize, place and route: build/, with a bitstream. Exit 1 if the clock is too slow.

    With --check-netlist, also if what was synthesized computes anything else than PyTorch does.
    """
    building = build_changes(
        device=device,
        speed=speed,
        package=package,
        board=board,
        clock_mhz=merge_synonyms("--clock-mhz", clock_mhz, "--freq", freq),
        seeds=seeds,
        jobs=jobs,
        placer=placer,
        router=router,
        time_limit_minutes=time_limit,
        tools=tools,
        check_netlist=check_netlist,
    )
    return combine_changes(
        section_changes("hardware", multipliers=multipliers, class_on_chip=class_on_chip or None),
        building,
    )


COMMANDS = (run, train, prune, quantize, lower, estimate, generate, verify, simulate, build)
