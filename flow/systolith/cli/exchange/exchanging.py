"""The commands ``systolith import`` and ``systolith export``."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from systolith.cli.options import ClassOnChip, FormatName, Json, parse_sizes
from systolith.cli.terminal import out, tracking

if TYPE_CHECKING:
    from systolith.exchange import ImportedModel
    from systolith.tflite import ImportedTflite

__all__ = ["export_network", "import_network"]

NETWORK, MEANING, QUANTIZED = "network.json", "import.json", "quantized.onnx"
Read = tuple["ImportedModel | ImportedTflite", dict[str, Any], tuple[str, ...]]
"""A file as a network, the content of ``import.json``, and lines about the arithmetic."""


def import_network(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="QONNX, ONNX, TFLite of int8, or .pt2 of PT2E.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write the network to. Default: only show."),
    ] = None,
    multiplier_bits: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=31,
            help="Of requantizers: fewer take fewer multipliers. Default: 24; 31 of TFLite files.",
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
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGES",
            help="Quantize a float ONNX file to 8 bits with these images, .npz or .npy. With labels"
            " in the .npz, its accuracy is shown.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(help="Compare with the file's own executor on a few images."),
    ] = True,
    class_on_chip: ClassOnChip = False,
    as_json: Json = False,
) -> None:
    """Show a quantized ONNX or TFLite file as a network, and the sparsity it has; with -o, save it.

    The network is compared with ONNX Runtime, QONNX's executor, or TFLite's reference kernels,
    first: if they disagree, the exit code is 1 and nothing is saved. The saved network.json goes
    into estimate, generate, verify, simulate and build. With --calibrate, a float file is
    quantized by ONNX Runtime first, and saved as quantized.onnx.
    """
    from systolith.emit import MEANING_FILES
    from systolith.foundation import write_text
    from systolith.network import save
    from systolith.report import layer_rows, network_table

    given = {
        "--input-type": input_type,
        "--input-shape": input_shape,
        "--calibrate": calibrate,
    }
    with tracking("import", None, quiet=as_json, quick=True):
        if file.suffix == ".tflite":
            model, meaning, lines = _read_tflite(
                file, given, multiplier_bits, check=check, class_on_chip=class_on_chip
            )
        else:
            sizes = None if input_shape is None else parse_sizes("--input-shape", input_shape)
            options: dict[str, Any] = {
                "input_type": input_type,
                "input_shape": sizes,
                "check": check,
                "class_on_chip": class_on_chip,
            }
            if multiplier_bits is not None:
                options["multiplier_bits"] = multiplier_bits
            if file.suffix == ".pt2":
                model, meaning, lines = _read_program(file, calibrate, options)
            elif calibrate is None:
                model, meaning, lines = _read_onnx(file, options)
            else:
                model, meaning, lines = _read_float(file, calibrate, output, options)
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


def _read_onnx(file: Path, options: dict[str, Any]) -> Read:
    from systolith.cli.exchange.imported import describe_arithmetic, describe_check, describe_import
    from systolith.exchange import import_onnx

    model = import_onnx(file, **options)
    return model, describe_import(model), (describe_arithmetic(model), describe_check(model))


def _read_program(file: Path, calibrate: Path | None, options: dict[str, Any]) -> Read:
    """Write a program of PT2E as an ONNX file, and read that."""
    from systolith.exchange import write_program
    from systolith.foundation import UsageError

    if calibrate is not None:
        raise UsageError("--calibrate: a program of PT2E is quantized already; leave it out")
    with TemporaryDirectory() as folder:
        return _read_onnx(write_program(file, Path(folder) / f"{file.stem}.onnx"), options)


def _read_float(file: Path, calibrate: Path, output: Path | None, options: dict[str, Any]) -> Read:
    """Quantize a float file, read it as any other, and count its accuracy."""
    from systolith.cli.exchange.calibration import count_accuracy, write_quantized
    from systolith.exchange import ImportedModel
    from systolith.foundation import replacing
    from systolith.stages.image_files import read_images

    images, labels = read_images(calibrate)
    with TemporaryDirectory() as folder:
        quantized = Path(folder) / QUANTIZED
        write_quantized(file, quantized, images, options["input_shape"])
        model, meaning, lines = _read_onnx(quantized, options | {"images": images})
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            with replacing(output / QUANTIZED) as temporary:
                shutil.copyfile(quantized, temporary)
    lines = (f"quantized to 8 bits with {len(images):,} images by ONNX Runtime", *lines)
    if labels is not None:
        assert isinstance(model, ImportedModel)
        accuracy = count_accuracy(file, model, images, labels)
        meaning |= {"accuracy": accuracy}
        shares = f"{accuracy['float']:.1%} in floats, {accuracy['integer']:.1%} in integers"
        lines += (f"accuracy on {len(images):,} images: {shares}",)
    return model, meaning, lines


def _read_tflite(
    file: Path,
    given: Mapping[str, object],
    multiplier_bits: int | None,
    *,
    check: bool,
    class_on_chip: bool,
) -> Read:
    from systolith.cli.exchange.tflite_files import describe_tflite, tflite_lines
    from systolith.foundation import UsageError
    from systolith.tflite import import_tflite

    if named := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{', '.join(named)}: a TFLite file has its own; leave it out")
    options = {} if multiplier_bits is None else {"multiplier_bits": multiplier_bits}
    model = import_tflite(file, check=check, class_on_chip=class_on_chip, **options)
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
