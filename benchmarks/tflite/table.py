"""Tables of TFLite's files, for the documentation."""

import json
from collections.abc import Iterator
from pathlib import Path

from systolith.tflite import kernel_rows

__all__ = [
    "CIFAR_RESULTS",
    "NARROW_RESULTS",
    "RESULTS",
    "RTL_RESULTS",
    "cifar_rows",
    "narrow_rows",
    "operator_rows",
    "result_rows",
    "rtl_rows",
]

RESULTS = Path(__file__).parent / "results" / "mlperf_tiny.json"
CIFAR_RESULTS = RESULTS.with_name("cifar10.json")
NARROW_RESULTS = RESULTS.with_name("narrow.json")
RTL_RESULTS = RESULTS.with_name("rtl.json")


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


def rtl_rows() -> Iterator[str]:
    """List the files that ran in RTL."""
    yield "| file | `--multipliers` | images | outputs | cycles predicted | cycles simulated |"
    yield "|---|---|---|---|---|---|"
    for name, row in json.loads(RTL_RESULTS.read_text())["files"].items():
        equal = "all equal" if row["passed"] else "NOT EQUAL"
        yield (
            f"| {name} | {row['multipliers']} | {row['images']} | {equal} | "
            f"{row['cycles_predicted']:,} | {row['cycles_simulated']:,} |"
        )


def cifar_rows() -> Iterator[str]:
    """Compare one file on all test images of CIFAR-10."""
    row = json.loads(CIFAR_RESULTS.read_text())
    yield "| file | images | outputs | differ from the reference kernels | right classes |"
    yield "|---|---|---|---|---|"
    yield (
        f"| {row['file']} | {row['images']:,} | {row['outputs']:,} | {row['differing']} | "
        f"{row['right']:,} |"
    )


def narrow_rows() -> Iterator[str]:
    """Compare widths of multipliers."""
    yield (
        "| file | bits | bound of a layer | outputs that differ | by at most | images of another "
        "class | DSPs |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, rows in json.loads(NARROW_RESULTS.read_text())["files"].items():
        for row in rows:
            yield (
                f"| {name} | {row['bits']} | {row['bound_per_layer']} | "
                f"{row['differing']:,} of {row['outputs']:,} | {row['greatest_difference']} | "
                f"{row['other_classes']} of {row['images']} | {row['dsps']} |"
            )
