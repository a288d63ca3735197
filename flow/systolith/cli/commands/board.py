"""The commands for boards: flash and classify."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from systolith.cli.changes import Changes, build_changes, combine_changes, section_changes
from systolith.cli.options import (
    BOARDS,
    BoardName,
    ClassOnChip,
    Json,
    Multipliers,
    Output,
    Target,
    complete_from,
)
from systolith.cli.terminal import listening, out, tracking
from systolith.foundation import Listener, UsageError

if TYPE_CHECKING:
    from systolith.host import Guess
    from systolith.stages import Session
    from systolith.stages.board import BoardResult

__all__ = ["classify", "flash", "open_board_run"]


def classify(
    target: Target,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGE]...", help="Pictures; of a saved network, .npy integers."),
    ] = None,
    port: Annotated[str, typer.Option(help="Serial port of the board.")] = "/dev/ttyUSB0",
    images: Annotated[
        int | None, typer.Option(min=1, help="Number of test images to send instead of pictures.")
    ] = None,
    board: BoardName = None,
    multipliers: Multipliers = None,
    class_on_chip: ClassOnChip = False,
    top: Annotated[int, typer.Option(min=1, help="Greatest classes to show of each image.")] = 1,
    output: Output = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 2.0,
    as_json: Json = False,
) -> None:
    """Let a board classify images. Exit 1 if an output is not the reference's.

    Probabilities are shown where the model had a softmax or sigmoid at its end, which the host
    computes from the board's logits.
    """
    if bool(pictures) == bool(images):
        raise UsageError("give either pictures or --images N")
    from systolith.host import BoardClient, open_line
    from systolith.stages.board import classify_on_board, guess_classes

    hardware = section_changes(
        "hardware", multipliers=multipliers, class_on_chip=class_on_chip or None
    )
    changes = combine_changes(hardware, build_changes(board=board))
    with listening(quiet=as_json) as listener:
        session = open_board_run(target, output, changes, listener)
        source = session.source
        values = source.pictures(pictures) if pictures else source.images(images)[0]
        with open_line(port, session.experiment.build.baud) as line:
            results = list(
                classify_on_board(
                    BoardClient(line, timeout), session.plan, source.reference, values
                )
            )
    names = [str(path) for path in pictures or ()] or [
        f"test image {n}" for n in range(len(results))
    ]
    guesses = [guess_classes(result, session.plan, source.meaning, top) for result in results]
    if as_json:
        rows = [
            {"image": name, **_list_values(result), "top": _list_guesses(best)}
            for name, result, best in zip(names, results, guesses, strict=True)
        ]
        print(json.dumps(rows, indent=1))
    else:
        from systolith.report import FittedTable

        table = FittedTable()
        table.add_column("image", wraps=True)
        table.add_column("class", justify="right")
        table.add_column("cycles", justify="right", rank=1)
        table.add_column("outputs", wraps=True)
        for name, result, best in zip(names, results, guesses, strict=True):
            equal = "equal to the reference" if result.equal else "[bold red]NOT EQUAL[/]"
            table.add_row(name, _describe(best), f"{result.cycles:,}", equal)
        out.print(table)
    raise typer.Exit(0 if all(result.equal for result in results) else 1)


def open_board_run(
    target: Path, output: Path | None, changes: Changes, listener: Listener
) -> "Session":
    """Open a run and plan its engines, for a design that is on a board.

    Raises
    ------
    UsageError
        If no board is named.
    """
    from systolith.stages import open_run

    session = open_run(target, output, changes=changes, listener=listener)
    if session.experiment.build.board is None:
        raise UsageError("which board? --board or [build]")
    session.run("estimate")
    return session


def _list_values(result: "BoardResult") -> dict[str, Any]:
    """Give an answer as JSON; feature maps are nested lists (C, H, W)."""
    values = {
        key: {name: array.tolist() for name, array in arrays.items()}
        for key, arrays in (("outputs", result.outputs), ("expected", result.expected))
    }
    return {**values, "classes": result.classes, "cycles": result.cycles, "equal": result.equal}


def _list_guesses(best: dict[str, list["Guess"]]) -> dict[str, list[dict[str, Any]]]:
    return {name: list(map(asdict, guesses)) for name, guesses in best.items()}


def _describe(best: dict[str, list["Guess"]]) -> str:
    """Write classes one below the other, each with its probability if that is known."""
    lines = []
    for name, guesses in best.items():
        for guess in guesses:
            sure = "" if guess.probability is None else f" ({guess.probability:.1%})"
            lines.append(f"{f'{name}: ' if len(best) > 1 else ''}{guess.category}{sure}")
    return "\n".join(lines)


def flash(
    bitstream: Annotated[
        Path, typer.Argument(metavar="BITSTREAM", help="What a build left in build/.")
    ],
    board: Annotated[
        str, typer.Option(help=f"One of {', '.join(BOARDS)}.", autocompletion=complete_from(BOARDS))
    ],
    permanent: Annotated[
        bool, typer.Option("--permanent", help="Into the flash, to stay after power is off.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", hidden=True)] = False,
) -> None:
    """Load a bitstream into a board, with openFPGALoader."""
    from systolith.devices import find_board, run_program

    if not bitstream.is_file():
        raise UsageError(f"there is no bitstream {bitstream}")
    try:
        loader = find_board(board).loader
    except ValueError as error:
        raise UsageError(str(error)) from error
    arguments = [
        "--board",
        loader,
        *(["--write-flash"] if permanent or keep else []),
        bitstream.name,
    ]
    with tracking("flash", None, quiet=False):
        run_program(
            "openfpgaloader-cli",
            arguments,
            bitstream.absolute().parent,
            "flash.log",
            lambda line: out.print(line, highlight=False),
        )
