"""The command ``systolith roll``: windows over time as one tall image."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from systolith.cli.options import Json
from systolith.cli.terminal import out, tracking
from systolith.foundation import UsageError

if TYPE_CHECKING:
    from systolith.emit import Meaning
    from systolith.network import IntegerNetwork, RolledNetwork

__all__ = ["roll", "roll_meaning"]

NETWORK = "network.json"
CHECKED = 3
"""Windows that are computed alone and compared."""


def roll(
    network: Annotated[
        Path,
        typer.Argument(metavar="NETWORK.json", help="A saved network of one window over time."),
    ],
    rows: Annotated[
        int, typer.Option(min=1, help="Rows of the tall image; time is the height of an image.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the network. Default: only show."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a network of windows over time compute all windows of a tall image, each row once.

    Row k of the results is that of the window that begins at row k * hop, bit for bit: some windows
    are compared first. The saved network.json goes into estimate, generate, verify, simulate and
    build as any other. Layers whose results depend on where the window begins are refused.
    """
    from systolith.emit import MEANING, MEANING_FILES, read_meaning
    from systolith.foundation import write_json
    from systolith.network import load, roll_network, save
    from systolith.report import network_table

    with tracking("roll", None, quiet=as_json, quick=True):
        window = load(network)
        rolled = roll_network(window, rows)
        results = compare_windows(window, rolled)
        try:
            meaning = read_meaning(network)
        except ValueError as error:
            raise UsageError(str(error)) from error
    tall = None if meaning is None else roll_meaning(meaning, window, rolled)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for name in MEANING_FILES:
            (output / name).unlink(missing_ok=True)
        save(rolled.network, output / NETWORK)
        if tall is not None:
            write_json(output / MEANING, tall.to_json(rolled.network))
    facts = {"rows": rows, "window": rolled.window, "hop": rolled.hop, "results": results}
    if as_json:
        print(json.dumps({"network": rolled.network.name, **facts}, indent=1))
        return
    out.print(network_table(rolled.network))
    out.print(
        f"{results:,} results of {rows:,} rows: a window of {rolled.window} rows every "
        f"{rolled.hop}; {min(results, CHECKED)} windows computed alone are equal",
        highlight=False,
        soft_wrap=True,
    )
    if meaning is not None and tall is None:
        out.print(
            "note: tall images are integers: the file orders its images in another way than row by "
            "row, or normalizes each row differently",
            highlight=False,
            soft_wrap=True,
        )
    if output is not None:
        out.print(f"results: {output / NETWORK}", highlight=False, soft_wrap=True)


def compare_windows(window: "IntegerNetwork", rolled: "RolledNetwork") -> int:
    """Compare a tall image with its first, a middle and its last window. Returns their number.

    Raises
    ------
    AssertionError
        If a result differs, which is a fault of systolith.
    """
    import numpy as np

    from systolith.network import forward

    act, shape = rolled.network.input.type, rolled.network.input.shape
    image = np.random.default_rng(0).integers(act.low, act.high + 1, (1, *shape))
    tall = list(forward(rolled.network, image).values())
    count = (shape[1] - rolled.window) // rolled.hop + 1
    for number in {0, count // 2, count - 1}:
        start = number * rolled.hop
        alone = forward(window, image[:, :, start : start + rolled.window])
        results = {source: tall[place] for place, source in enumerate(window.outputs)}
        for name, values in alone.items():
            size = window.tensors[name].shape
            high = size[1] if len(size) == 3 else 1
            found = results[name][:, :, number : number + high]
            assert np.array_equal(found.reshape(values.shape), values), f"{name} of window {number}"
    return count


def roll_meaning(
    meaning: "Meaning", window: "IntegerNetwork", rolled: "RolledNetwork"
) -> "Meaning | None":
    """Describe tall images; None if they are no longer images of the file.

    Parameters
    ----------
    meaning : Meaning
        Of the window's network.
    window : IntegerNetwork
    rolled : RolledNetwork
    """
    import numpy as np

    normal = [np.array(values) for values in (meaning.multiply_by, meaning.add)]
    if any(values.ndim > 2 and values.shape[-2] != 1 for values in normal):
        return None
    moved: dict[str, Any] = {}
    if meaning.moved:
        # Rows must follow each other in the file's images.
        channels, height, width = window.input.shape
        places = np.array(meaning.moved["elements"]).reshape(channels, height, width)
        size, (first, *rest) = channels * width, meaning.moved["image"]
        rows = places - size * np.arange(height)[:, None]
        if first != height or int(np.prod(rest)) != size or (rows != rows[:, :1]).any():
            return None
        tall = rolled.network.input.shape[1]
        elements = rows[:, :1] + size * np.arange(tall)[:, None]
        moved = {"image": [tall, *rest], "elements": elements.ravel().tolist()}
    names = dict(zip(window.outputs, rolled.network.outputs, strict=True))
    return replace(
        meaning,
        moved=moved,
        orders={},
        output_scales={names[name]: scale for name, scale in meaning.output_scales.items()},
        ends={names[name]: end for name, end in meaning.ends.items()},
    )
