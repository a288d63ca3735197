"""The commands ``systolith zoo list`` and ``systolith zoo get``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from systolith.cli.options import Json, Seed
from systolith.cli.terminal import out, tracking

__all__ = ["zoo"]

zoo = typer.Typer(
    help="Networks that people deploy: their cards, and the networks themselves.",
    no_args_is_help=True,
)
FILES = ("network.json", "card.json", "README.md")
"""Files that ``systolith zoo get`` writes, beside network.safetensors and the experiment's."""


@zoo.command("list")
def list_networks(as_json: Json = False) -> None:
    """List the networks, the smallest device that each fits, and its estimated frames per second.

    With --json, print all cards.
    """
    from rich.table import Column, Table

    from systolith.zoo import ZOO, read_cards

    cards = read_cards()
    if as_json:
        print(json.dumps({name: card.to_json() for name, card in cards.items()}, indent=1))
        return
    names = Column("network", no_wrap=True, min_width=max(map(len, ZOO)))
    table = Table(names, "for", "input", "MACs", "device", "cycles", "frames/s")
    for name, entry in ZOO.items():
        if name not in cards:
            table.add_row(name, entry.task, entry.size, "", "not measured", "", "")
            continue
        card = cards[name]
        rate = card.frames_per_second
        table.add_row(
            *(name, card.task, card.input, f"{card.macs:,}", card.device, f"{card.cycles:,}"),
            "" if rate is None else f"{rate:,.0f}",
        )
    out.print(table)
    out.print("frames/s: at the clock that the planner estimates", highlight=False)
    out.print("next: systolith zoo get NAME", highlight=False)


@zoo.command("get")
def get_network(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `systolith zoo list` shows.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder. Default: NAME.")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Write a network: network.json, which estimate, generate, verify and build take, and its card.

    The model is quantized on the spot, with random weights or trained on the bundled digits, as its
    card says. experiment.toml trains, prunes and quantizes the network on data of your own; there
    is none where training has no loss, for detections. Overwrites nothing.
    """
    from systolith.foundation import UsageError, write_text
    from systolith.network import save
    from systolith.zoo import find_entry, read_cards

    entry = find_entry(name)
    folder = Path(name) if output is None else output
    files = (*FILES, "experiment.toml", "model.py", "data.npz", "weights.safetensors")
    if present := [str(folder / file) for file in files if (folder / file).exists()]:
        raise UsageError(
            f"zoo get overwrites nothing, but there is {', '.join(present)}; give another folder "
            "with -o"
        )
    with tracking("zoo", None, quiet=as_json, quick=True):
        from systolith.zoo.experiments import EXPERIMENT, experiment_files
        from systolith.zoo.making import make_network

        made = make_network(entry, seed or 0)
    card = read_cards().get(name)
    folder.mkdir(parents=True, exist_ok=True)
    save(made.network, folder / FILES[0])
    content = {} if card is None else card.to_json()
    write_text(folder / FILES[1], json.dumps(content, indent=1) + "\n")
    lines = [f"# {name}: {entry.task}"] if card is None else list(card.lines())
    write_text(folder / FILES[2], "\n".join(lines) + "\n")
    experiment = folder / EXPERIMENT if entry.targets else None
    if experiment is not None:
        device = "ecp5-85f" if card is None else card.device
        for file, contents in experiment_files(made, device, seed or 0).items():
            (folder / file).write_bytes(contents)
    if as_json:
        shown = {"network": str(folder / FILES[0]), "card": content}
        if experiment is not None:
            shown["experiment"] = str(experiment)
        print(json.dumps(shown, indent=1))
        return
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    out.print(f"results: {folder / FILES[0]}", highlight=False, soft_wrap=True)
    device = "" if card is None else f" --device {card.device}"
    out.print(f"next: systolith estimate {folder / FILES[0]}{device}", highlight=False)
    if experiment is not None:
        data = entry.trains_on or f"data of yours, in {folder / 'data.npz'}"
        out.print(
            f"to train it on {data}: systolith run {experiment}", highlight=False, soft_wrap=True
        )
