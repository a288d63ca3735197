"""Tables of TFLite's files, for the documentation."""

import json
from collections.abc import Iterator
from pathlib import Path

from systolith.tflite import kernel_rows

__all__ = ["RESULTS", "operator_rows", "result_rows"]

RESULTS = Path(__file__).parent / "results" / "mlperf_tiny.json"


def operator_rows() -> Iterator[str]:
    """List the operators that are read."""
    yield "| operator | becomes | the reference kernel computes | supported |"
    yield "|---|---|---|---|"
    for row in kernel_rows():
        yield f"| {' | '.join(row)} |"


def result_rows() -> Iterator[str]:
    """Compare the files with TFLite's reference kernels."""
    yield (
        "| file | layers | images | outputs | differ from the reference kernels | "
        "XNNPACK differs from them in | multipliers | cycles per image |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, row in json.loads(RESULTS.read_text())["files"].items():
        yield (
            f"| {name} | {row['layers']} | {row['images']} | {row['outputs']:,} | "
            f"{row['differing']} | {row['xnnpack_differs']:.1%} | {row['multipliers']} | "
            f"{row['cycles_per_frame']:,} |"
        )
