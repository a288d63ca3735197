"""The command ``systolith check``: what every step would refuse, before any training."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape

from systolith.cli.changes import combine_changes, pruning_changes, section_changes
from systolith.cli.errors.failures import CHECK_FAILED
from systolith.cli.options import (
    METHODS,
    ClockMhz,
    DeviceName,
    Json,
    Multipliers,
    TargetFps,
    complete_from,
    parse_sizes,
)
from systolith.cli.terminal import err, out, tracking

if TYPE_CHECKING:
    from systolith.compress import LayerCheck
    from systolith.report import EngineRow, FittedTable
    from systolith.stages.preview import Preview

__all__ = ["check"]

MOST_REASON = 40
"""Characters of a reason in the table; all of it is in the JSON."""


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG.toml|MODEL|NETWORK.json",
            help="An experiment file, an example network or module:callable, or a saved network.",
        ),
    ],
    input_shape: Annotated[
        str | None,
        typer.Option(metavar="C,H,W", help="Shape of the images, of a model of your own."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="State dict to load, instead of the file's.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"Pruning, instead of the file's steps: {', '.join(METHODS)}.",
            autocompletion=complete_from(METHODS),
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYERS=K:N", help="k out of n for matching layers; repeatable."),
    ] = None,
    keep: Annotated[float | None, typer.Option(help="Share of filters to keep.")] = None,
    multipliers: Multipliers = None,
    device: DeviceName = None,
    target_fps: TargetFps = None,
    clock_mhz: ClockMhz = None,
    as_json: Json = False,
) -> None:
    """Show everything that pruning, quantization, lowering and engines will refuse. Trains nothing.

    Exit 1 if anything is refused.
    """
    from systolith.stages.preview import preview

    changes = combine_changes(
        section_changes("model", weights=None if weights is None else str(weights.absolute())),
        pruning_changes(method=method, rules=rule or [], keep=keep),
        section_changes(
            "hardware",
            multipliers=multipliers,
            device=device,
            target_fps=target_fps,
            clock_mhz=clock_mhz,
        ),
    )
    shape = None if input_shape is None else parse_sizes("--input-shape", input_shape)
    with tracking("check", None, quiet=as_json, quick=True):
        result = preview(target, input_shape=shape, changes=changes)
    if as_json:
        print(json.dumps(_to_json(result), indent=1))
    else:
        _show(result)
    raise typer.Exit(0 if result.accepted else CHECK_FAILED)


def _engines(result: "Preview") -> "dict[str, EngineRow]":
    from systolith.report import engine_rows

    return {} if result.plan is None else {row.name: row for row in engine_rows(result.plan)}


def _to_json(result: "Preview") -> dict[str, Any]:
    engines = {name: asdict(row) for name, row in _engines(result).items()}
    layers = [] if result.model is None else result.model.to_json()["layers"]
    named = {layer["integer_name"] for layer in layers}
    others = [{"integer_name": name} for name in engines if name not in named]
    plan = result.plan
    return {
        "name": result.name,
        "accepted": result.accepted,
        "problems": [problem.to_json() for problem in result.problems],
        "warnings": [problem.to_json() for problem in result.warnings],
        "notes": list(result.notes),
        "cycles_per_frame": None if plan is None else plan.cycles_per_frame,
        "layers": [
            {**layer, "engine": engines.get(layer["integer_name"])} for layer in (*layers, *others)
        ],
    }


def _show(result: "Preview") -> None:
    """Print the layers, then what is refused, step by step."""
    if result.model is not None:
        out.print(_layer_table(result))
    for note in result.notes:
        out.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    for problem in result.warnings:
        out.print(f"[yellow]warning:[/] {escape(str(problem))}", highlight=False, soft_wrap=True)
    for problem in result.problems:
        text = f"[bold red]{problem.step.value}:[/] {escape(str(problem))}"
        err.print(text, highlight=False, soft_wrap=True)
    if result.accepted:
        cycles = (
            "" if result.plan is None else f"; {result.plan.cycles_per_frame:,} cycles per frame"
        )
        out.print(f"nothing is refused{cycles}", highlight=False, soft_wrap=True)
    else:
        count = len(result.problems)
        out.print(f"{count} problem{'s' * (count > 1)}", highlight=False)


def _layer_table(result: "Preview") -> "FittedTable":
    from systolith.report import FittedTable

    assert result.model is not None
    engines, layers = _engines(result), result.model.layers
    table = FittedTable(result.name, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("layer", wraps=True)
    table.add_column("kind", rank=4)
    table.add_column("weights", rank=1)
    table.add_column("MACs", rank=3, justify="right")
    table.add_column("n of k-of-n", rank=2)
    table.add_column("removable filters", wraps=True)
    table.add_column("integer form")
    table.add_column("array", rank=2)
    table.add_column("cycles", rank=1, justify="right")
    refused = {problem.layer for problem in result.problems}
    for layer in layers:
        engine = engines.get(layer.integer_name)
        table.add_row(
            layer.name,
            layer.kind,
            "x".join(map(str, layer.weights)),
            f"{layer.macs:,}" if layer.macs else "",
            " ".join(map(str, layer.group_sizes)) or ("none" if layer.weights else ""),
            _removable(layer),
            "[red]refused[/]" if layer.name in refused else layer.integer_form,
            "" if engine is None else engine.array,
            "" if engine is None else f"{engine.cycles:,}",
            style=None if layer.weights else "dim",
        )
    return table


def _removable(layer: "LayerCheck") -> str:
    if not layer.weights or (not layer.removable and not layer.kept_reason):
        return ""
    if not layer.removable:
        reason = layer.kept_reason
        return escape(reason if len(reason) <= MOST_REASON else f"{reason[: MOST_REASON - 3]}...")
    tied = f", tied to {layer.tied[0]}" if layer.tied else ""
    more = f" and {len(layer.tied) - 1} more" if len(layer.tied) > 1 else ""
    return f"{layer.removable}{tied}{more}"
