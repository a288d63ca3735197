"""The commands ``systolith import`` and ``systolith export``."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from systolith.cli.options import FormatName, Json, parse_sizes
from systolith.cli.terminal import out, tracking

if TYPE_CHECKING:
    from systolith.exchange import ImportedModel
    from systolith.tflite import ImportedTflite

__all__ = ["export_network", "import_network"]

NETWORK, MEANING = "network.json", "import.json"
Read = tuple["ImportedModel | ImportedTflite", dict[str, Any], tuple[str, str]]
"""A file as a network, the content of ``import.json``, and lines about the arithmetic."""


def import_network(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="QONNX, quantized ONNX, or TFLite of int8.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write the network to. Default: only show."),
    ] = None,
    multiplier_bits: Annotated[
        int | None,
        typer.Option(
            min=1, max=24, help="Of requantizers: fewer take fewer multipliers. ONNX: default 24."
        ),
    ] = None,
    input_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE:SCALE[:ZERO]",
            help="How to quantize a float input that the file does not, such as int8:1/64.",
        ),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(metavar="C,H,W", help="Sizes of an image, where the file leaves them open."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(help="Compare with the file's own executor on a few random images."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Show a quantized ONNX or TFLite file as a network, and the sparsity it has; with -o, save it.

    The network is compared with ONNX Runtime, QONNX's executor, or TFLite's reference kernels,
    first: if they disagree, the exit code is 1 and nothing is saved. The saved network.json goes
    into estimate, generate, verify, simulate and build.
    """
    from systolith.emit import MEANING_FILES
    from systolith.foundation import write_text
    from systolith.network import save
    from systolith.report import layer_rows, network_table

    given = {
        "--multiplier-bits": multiplier_bits,
        "--input-type": input_type,
        "--input-shape": input_shape,
    }
    with tracking("import", None, quiet=as_json, quick=True):
        if file.suffix == ".tflite":
            model, meaning, lines = _read_tflite(file, given, check)
        else:
            model, meaning, lines = _read_onnx(
                file, multiplier_bits, input_type, input_shape, check
            )
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        # Should this be interrupted, no network stands beside the meaning of another.
        for name in MEANING_FILES:
            (output / name).unlink(missing_ok=True)
        save(model.network, output / NETWORK)
        write_text(output / MEANING, json.dumps(meaning, indent=1) + "\n")
    if as_json:
        rows = [asdict(row) for row in layer_rows(model.network)]
        print(json.dumps({"network": model.network.name, "layers": rows, **meaning}, indent=1))
        return
    out.print(network_table(model.network))
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for note in model.notes:
        out.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    if output is not None:
        out.print(f"results: {output / NETWORK}", highlight=False, soft_wrap=True)


def _read_onnx(
    file: Path,
    multiplier_bits: int | None,
    input_type: str | None,
    input_shape: str | None,
    check: bool,
) -> Read:
    from systolith.cli.imported import describe_arithmetic, describe_check, describe_import
    from systolith.exchange import import_onnx

    options = {} if multiplier_bits is None else {"multiplier_bits": multiplier_bits}
    model = import_onnx(
        file,
        **options,
        input_type=input_type,
        input_shape=None if input_shape is None else parse_sizes("--input-shape", input_shape),
        check=check,
    )
    return model, describe_import(model), (describe_arithmetic(model), describe_check(model))


def _read_tflite(file: Path, given: Mapping[str, object], check: bool) -> Read:
    from systolith.cli.tflite_files import describe_tflite, tflite_lines
    from systolith.foundation import UsageError
    from systolith.tflite import import_tflite

    if named := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{', '.join(named)}: a TFLite file has its own; leave it out")
    model = import_tflite(file, check=check)
    return model, describe_tflite(model), tflite_lines(model)


def export_network(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK.json", help="A saved integer network.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", dir_okay=False, help="The file to write.")
    ],
    form: Annotated[
        FormatName, typer.Option("--format", help="qonnx: Quant nodes; qdq: ONNX's own quantizers.")
    ] = "qdq",
    input_scale: Annotated[
        float, typer.Option(min=0, help="What one unit of the input stands for in the images.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Write an integer network as an ONNX file, and its patterns beside it."""
    from systolith.exchange import Format, export_onnx
    from systolith.network import load

    with tracking("export", None, quiet=as_json, quick=True):
        export_onnx(load(network), output, Format(form), input_scale=input_scale)
    patterns = output.with_suffix(".patterns.json")
    if as_json:
        print(json.dumps({"model": str(output), "patterns": str(patterns)}, indent=1))
        return
    out.print(f"results: {output}, {patterns}", highlight=False, soft_wrap=True)
