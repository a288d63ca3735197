"""Arguments and options that several commands share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from systolith.cli.choices import DEVICES
from systolith.cli.failures import OptionError

__all__ = [
    "ClockMhz",
    "Config",
    "Device",
    "Images",
    "Json",
    "LearningRate",
    "Multipliers",
    "Output",
    "Seed",
    "Target",
    "TargetFps",
    "beginning_in",
    "same_option",
]

Value = TypeVar("Value")


def beginning_in(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Complete names in a shell."""

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
Device = Annotated[
    str | None,
    typer.Option(
        help=f"Budget: what a device has. One of {', '.join(DEVICES)}.",
        autocompletion=beginning_in(DEVICES),
    ),
]
TargetFps = Annotated[
    float | None,
    typer.Option(help="Frames per second: the smallest design that has them, not the fastest."),
]
ClockMhz = Annotated[float | None, typer.Option(help="Clock that frames per second count with.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed, instead of the file's.")]
LearningRate = Annotated[float | None, typer.Option(help="Learning rate, instead of the file's.")]
Images = Annotated[
    str | None,
    typer.Option(
        metavar="N|all|FILE",
        help="How many images, instead of the file's. Of a network.json also images: .npz, .npy.",
    ),
]


def same_option(name: str, given: Value | None, earlier: str, also: Value | None) -> Value | None:
    """Take an option under its name, or under the one that it had in earlier versions.

    Raises
    ------
    OptionError
        If both are given, with different values.
    """
    if given is not None and also is not None and given != also:
        raise OptionError(f"{earlier} is an earlier name of {name}, but they are {also}, {given}")
    return also if given is None else given
