"""Tables of what other tools' networks compute here, for the documentation."""

import json
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FEW_BITS", "RESULT", "few_bit_rows", "runtime_rows"]

RESULT = Path(__file__).parent / "results" / "runtime.json"
FEW_BITS = RESULT.with_name("few_bits.json")
FORMATS = {"qdq": "QuantizeLinear, DequantizeLinear", "qlinear": "QLinear operators"}


def runtime_rows() -> Iterator[str]:
    """Compare ONNX Runtime and the imported network, format by format."""
    yield (
        "| ResNet-8, written as | images | same class | logits equal | most units off | accuracy "
        "there | here | images in RTL, all equal |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for form, row in json.loads(RESULT.read_text())["resnet8"].items():
        yield (
            f"| {FORMATS[form]} | {row['images']:,} | {row['same_class']:,} | "
            f"{row['logits_equal']:.2%} | {row['logits_most_units_off']} | "
            f"{row['accuracy_runtime']:.1%} | {row['accuracy_ours']:.1%} | "
            f"{row['rtl_images_equal']} |"
        )


def few_bit_rows() -> Iterator[str]:
    """Compare QONNX's executor, Brevitas in float64, and the imported network, for each width."""
    yield (
        "| network | outputs | differ from QONNX's executor | from Brevitas in float64 | "
        "bits of multipliers, by layer | accuracy |"
    )
    yield "|---|---|---|---|---|---|"
    for name, row in json.loads(FEW_BITS.read_text())["networks"].items():
        bits = ", ".join(map(str, row["multiplier_bits"]))
        yield (
            f"| {name} | {row['outputs']:,} | {row['differ_from_qonnx']} | "
            f"{row['differ_from_float64']} | {bits} | {row['accuracy']:.1%} |"
        )
