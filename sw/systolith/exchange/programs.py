"""Programs of ``torch.export`` that torchao quantized (PT2E), as ONNX files."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systolith.exchange.errors import ExchangeError
from systolith.exchange.importing import ImportedModel, import_onnx

if TYPE_CHECKING:
    from torch.export import ExportedProgram

__all__ = ["import_program", "write_program"]

QUANTIZERS = "quantized_decomposed"
"""Namespace of the operators that quantize in a program of PT2E."""
OPERATORS = "torch.ao.quantization.fx._decomposed"
"""Module that registers them."""


def import_program(program: "ExportedProgram | Path | str", **options: Any) -> ImportedModel:
    """Import a program of PT2E: its integers become the network's integers.

    Parameters
    ----------
    program : torch.export.ExportedProgram, Path or str
        A program that :func:`torchao.quantization.pt2e.quantize_pt2e.convert_pt2e` has made and
        ``torch.export.export`` has exported; or a file of it, ``.pt2``. It takes any number of
        images, or one fixed number.
    **options
        As in :func:`import_onnx`.

    Raises
    ------
    ExchangeError
        If the program has no quantizers, or holds anything that is not supported.
    """
    with tempfile.TemporaryDirectory() as folder:
        return import_onnx(write_program(program, Path(folder) / "program.onnx"), **options)


def write_program(program: "ExportedProgram | Path | str", path: Path) -> Path:
    """Write a program of PT2E as an ONNX file with QuantizeLinear and DequantizeLinear.

    PyTorch's exporter writes it; nothing is optimized, so that all quantizers are kept.

    Parameters
    ----------
    program
        As in :func:`import_program`.
    path : Path

    Returns
    -------
    Path
        That of the file.
    """
    import torch
    from torch.export import ExportedProgram

    import_module(OPERATORS)
    if not isinstance(program, ExportedProgram):
        try:
            program = torch.export.load(program)
        except Exception as error:  # PyTorch's exceptions have no common base
            raise ExchangeError.of(f"'{program}' holds no program: {error}") from error
    if not any(QUANTIZERS in str(node.target) for node in program.graph.nodes):
        raise ExchangeError.of(
            "the program has no quantizers: give it to systolith.quant.prepare, which quantizes it"
        )
    try:
        with _quietly():
            written = torch.onnx.export(
                program, dynamo=True, optimize=False, verbose=False, external_data=False
            )
    except ImportError as error:
        raise ExchangeError.of(
            f"PyTorch writes ONNX files with the package onnxscript: {error}"
        ) from error
    except torch.onnx.OnnxExporterError as error:
        raise ExchangeError.of(f"PyTorch cannot write it as ONNX: {error}") from error
    assert written is not None
    written.save(path)
    return path


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Leave out the exporter's warnings about packages that are not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
