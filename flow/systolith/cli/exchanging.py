"""Commands that read and write other tools' files: import, export."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from systolith.cli.failures import explained
from systolith.cli.options import Json
from systolith.exchange import Format, Imported, export_onnx, import_onnx
from systolith.network import load, save
from systolith.report import layer_rows, network_table
from systolith.steps.workspace import write_text

__all__ = ["export_network", "import_network"]

out = Console()
err = Console(stderr=True)

NETWORK, MEANING = "network.json", "import.json"


def import_network(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="QONNX, or quantized ONNX.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write the network to. Default: only show."),
    ] = None,
    multiplier_bits: Annotated[
        int, typer.Option(min=1, max=24, help="Of requantizers: fewer take fewer multipliers.")
    ] = 24,
    as_json: Json = False,
) -> None:
    """Show a quantized ONNX file as a network, and the sparsity it has; with -o, save it.

    The saved network.json goes into estimate, generate, verify, simulate and build.
    """
    with explained(err):
        found = import_onnx(file, multiplier_bits=multiplier_bits)
        meaning = _meaning(found)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            save(found.network, output / NETWORK)
            write_text(output / MEANING, json.dumps(meaning, indent=1) + "\n")
    if as_json:
        rows = [asdict(row) for row in layer_rows(found.network)]
        print(json.dumps({"network": found.network.name, "layers": rows, **meaning}, indent=1))
        return
    out.print(network_table(found.network))
    out.print(_arithmetic(found), highlight=False, soft_wrap=True)
    if output is not None:
        out.print(f"results: {output / NETWORK}", highlight=False, soft_wrap=True)


def export_network(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK.json", help="A saved integer network.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    form: Annotated[
        Format, typer.Option("--format", help="qonnx: Quant nodes; qdq: ONNX's own quantizers.")
    ] = Format.QDQ,
    input_scale: Annotated[
        float, typer.Option(min=0, help="What one unit of the input stands for in the images.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Write an integer network as an ONNX file, and its patterns beside it."""
    with explained(err):
        export_onnx(load(network), output, form, input_scale=input_scale)
    patterns = output.with_suffix(".patterns.json")
    if as_json:
        print(json.dumps({"model": str(output), "patterns": str(patterns)}, indent=1))
        return
    out.print(f"results: {output}, {patterns}", highlight=False, soft_wrap=True)


def _meaning(found: Imported) -> dict[str, Any]:
    """What the integers stand for, and how near the arithmetic is to the file's."""
    source = found.input
    return {
        "input": {
            "scale": source.quantizer.scale,
            "zero_point": source.quantizer.type.zero_point,
            "first_multiply_by": source.scale.tolist(),
            "then_add": source.offset.tolist(),
        },
        "outputs": {
            name: {
                "scale": scale,
                "zero_point": found.network.tensors[name].type.zero_point,
            }
            for name, scale in found.scales.items()
        },
        "exact": found.exact,
        "units": dict(found.units),
    }


def _arithmetic(found: Imported) -> str:
    if found.exact:
        return "arithmetic: exactly the file's"
    worst = max(found.units, key=lambda name: found.units[name])
    return (
        f"arithmetic: multipliers are rounded; before rounding, layers are within "
        f"{found.units[worst]:.2g} units of the file's ('{worst}')"
    )
