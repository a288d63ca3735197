"""Arguments and options that several commands share, and the names that they accept.

The names are written out, so that ``--help`` loads neither torch nor the planner. A test holds each
list to the table that it names.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from systolith.foundation import UsageError

__all__ = [
    "BOARDS",
    "DEVICES",
    "METHODS",
    "MOST_JOBS",
    "MOST_LAYERS",
    "BoardName",
    "ClassOnChip",
    "ClockMhz",
    "Config",
    "DeviceName",
    "DoorName",
    "FormatName",
    "ImageSource",
    "InterfaceName",
    "Json",
    "LearningRate",
    "Multipliers",
    "Output",
    "PlacerName",
    "RouterName",
    "RunnerModelName",
    "SamplerLabel",
    "Seed",
    "Target",
    "TargetFps",
    "ToolsName",
    "complete_from",
    "merge_synonyms",
    "parse_sizes",
]

Value = TypeVar("Value")

DEVICES = (
    *("ecp5-12f", "ecp5-25f", "ecp5-45f", "ecp5-85f"),
    *("gw1nr-9", "gw2ar-18", "ice40-up5k", "ice40-hx8k", "lifcl-17", "lifcl-40"),
    *("xc7a35t", "xc7a100t", "xc7z020"),
)
"""Of :data:`systolith.devices.DEVICES`."""

BOARDS = ("ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "tangnano9k")
"""Of :data:`systolith.devices.BOARDS`."""

METHODS = (
    *("magnitude", "obs", "sr-ste", "dpp", "dpf", "admm", "spp", "particles"),
    *("gdp", "taylor", "filters", "lfe", "dpp-filters", "djpq"),
)
"""Of the sections in :data:`systolith.config.PruneSection`."""

MOST_JOBS = 256
""":data:`systolith.config.MOST_JOBS`."""

MOST_LAYERS = 4
""":data:`systolith.fuzz.MOST_LAYERS`."""

FormatName = Literal["qonnx", "qdq"]
"""Values of :class:`systolith.exchange.Format`."""

DoorName = Literal["rtl", "pytorch", "onnx", "tflite"]
"""Keys of :data:`systolith.cli.commands.fuzz_runs.DOORS`."""

RunnerModelName = Literal["ad01", "ic01", "kws01", "vww01"]
"""Keys of :data:`systolith.host.RUNNER_MODELS`."""

InterfaceName = Literal["stream", "axi", "wishbone"]
"""Values of :class:`systolith.config.Interface`."""

PlacerName = Literal["auto", "heap", "static"]
"""Values of :class:`systolith.build.Placer`."""

RouterName = Literal["auto", "router1", "router2", "both"]
"""Values of :class:`systolith.build.Router`."""

ToolsName = Literal["auto", "wheels", "native"]
"""Values of :class:`systolith.devices.ToolSource`."""

SamplerLabel = Literal["nsga2", "nsga3", "tpe", "gp", "random"]
"""Values of :class:`systolith.config.SamplerName`."""


def complete_from(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a function that completes these names in a shell."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


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
DeviceName = Annotated[
    str | None,
    typer.Option(
        help=f"Budget: what a device has. One of {', '.join(DEVICES)}.",
        autocompletion=complete_from(DEVICES),
    ),
]
BoardName = Annotated[
    str | None,
    typer.Option(
        help=f"Instead of the file's: {', '.join(BOARDS)}.", autocompletion=complete_from(BOARDS)
    ),
]
TargetFps = Annotated[
    float | None,
    typer.Option(help="Frames per second: the smallest design that has them, not the fastest."),
]
ClassOnChip = Annotated[
    bool,
    typer.Option("--class-on-chip", help="The outputs are classes, found on the chip, not logits."),
]
ClockMhz = Annotated[float | None, typer.Option(help="Clock that frames per second count with.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed, instead of the file's.")]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate, instead of the file's.")]
ImageSource = Annotated[
    str | None,
    typer.Option(
        metavar="N|all|FILE",
        help="How many images, instead of the file's. Of a network.json also images: .npz, .npy.",
    ),
]


def merge_synonyms(
    name: str, given: Value | None, earlier: str, also: Value | None
) -> Value | None:
    """Return the value of an option that may be given under an earlier name.

    Raises
    ------
    UsageError
        If both are given with different values.
    """
    if given is not None and also is not None and given != also:
        raise UsageError(f"{earlier} is an earlier name of {name}, but they are {also}, {given}")
    return also if given is None else given


def parse_sizes(option: str, given: str) -> tuple[int, ...]:
    """Read sizes such as ``3,32,32``.

    Raises
    ------
    UsageError
        If they are none.
    """
    try:
        return tuple(int(size) for size in given.replace("x", ",").split(","))
    except ValueError:
        raise UsageError(f"{option} must be sizes such as 3,32,32, got '{given}'") from None
