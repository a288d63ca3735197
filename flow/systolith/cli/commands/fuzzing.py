"""The command ``systolith fuzz``."""

from pathlib import Path
from typing import Annotated

import typer

from systolith.cli.options import MOST_JOBS, MOST_LAYERS, DoorName, Json

__all__ = ["fuzz"]


def fuzz(
    door: Annotated[
        DoorName,
        typer.Option(
            help="What random cases go through: networks of the contract through RTL, or models "
            "of the user's through the door that reads them."
        ),
    ] = "rtl",
    count: Annotated[int, typer.Option(min=1, help="How many cases.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of all of them.")] = 0,
    first: Annotated[
        int, typer.Option(min=0, help="Number of the first one, such as to go on.")
    ] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the cases that fail.")
    ] = Path("out/fuzz"),
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_JOBS, help="Cases at once. Default: one per core."),
    ] = None,
    most_layers: Annotated[
        int, typer.Option(min=1, help="Layers of a network at most, besides flattenings; RTL only.")
    ] = MOST_LAYERS,
    most_failures: Annotated[
        int, typer.Option(min=1, help="Stop after this number of failed cases.")
    ] = 1,
    again: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FOLDER", help="Check one case again that failed."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check random cases against their reference. Exit 1 on any difference.

    rtl: integer networks with every kind of layer and pattern, every stream under stalls, and the
    cycles of every frame. pytorch: modules as people write them, against PyTorch. onnx: quantized
    graphs, against ONNX Runtime and qonnx. tflite: int8 files, against TFLite's reference kernels.
    A case that fails is shrunk to a simple one, which is kept.
    """
    from systolith.cli.commands.fuzz_runs import replay_case, run_search

    if again is not None:
        passed = replay_case(again, as_json=as_json)
    else:
        passed = run_search(
            door,
            count,
            seed,
            output,
            first=first,
            jobs=jobs,
            most_layers=most_layers,
            most_failures=most_failures,
            as_json=as_json,
        )
    raise typer.Exit(0 if passed else 1)
