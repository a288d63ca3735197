"""Tables of the documentation that are generated from the code."""

from collections.abc import Iterator

from systolith.exchange.file.model_file import INTEGERS_OF_ONNX
from systolith.exchange.nodes.quantizers import WEIGHT_ROUNDINGS
from systolith.exchange.nodes.unsupported import REWRITES
from systolith.exchange.values.open_types import OUTPUT_BITS
from systolith.exchange.values.quantizer import (
    HALF_TO_PLUS_INFINITY,
    NONNEGATIVE_ROUNDINGS,
    ROUNDINGS,
)
from systolith.network import FITTED_MULTIPLIER_BITS, FITTED_SHIFT, MAX_ACT_BITS, MAX_WEIGHT_BITS

__all__ = ["rewrite_rows", "type_rows"]


def rewrite_rows() -> list[str]:
    """Give the lines of the table of rewrites; operators with one rewrite share a line."""
    by_rewrite: dict[str, list[str]] = {}
    for name, rewrite in REWRITES.items():
        by_rewrite.setdefault(rewrite, []).append(name)
    rows = [f"| {', '.join(names)} | {rewrite} |" for rewrite, names in by_rewrite.items()]
    return ["| not supported | instead |", "|---|---|", *rows]


def type_rows() -> list[str]:
    """Give the lines of the table of number types."""
    return ["| what | QONNX | ONNX's own quantizers |", "|---|---|---|", *_types()]


def _types() -> Iterator[str]:
    stored = sorted({act.bits for act in INTEGERS_OF_ONNX.values()} | {8, 16})
    widths = ", ".join(map(str, stored))
    yield (
        f"| activations | unsigned of 1..{MAX_ACT_BITS} bits, signed of 2..{MAX_ACT_BITS}; "
        f"also narrow | {widths} bits, signed or unsigned; fewer by Clip |"
    )
    yield "| scale and zero point of activations | one for the tensor | one for the tensor |"
    yield (
        f"| weights | 1..{MAX_WEIGHT_BITS} bits; one is -1 and +1 | {widths} bits, signed or "
        "unsigned |"
    )
    yield (
        "| scale and zero point of weights | one, or one for each output channel | the same; zero "
        "points may cost a bit |"
    )
    yield "| biases | 40 bits, in steps of the accumulator | the same |"
    yield "| sums | exact, as wide as these weights make them | the same |"
    yield (
        f"| ratio of scales | multiplier of {FITTED_MULTIPLIER_BITS} bits for each channel, "
        f"shifted by 0..{FITTED_SHIFT} | the same |"
    )
    named = [name for name in ROUNDINGS if name != HALF_TO_PLUS_INFINITY]
    yield (
        f"| rounding of results | {', '.join(named)}; {', '.join(NONNEGATIVE_ROUNDINGS)} of what "
        "is never negative | ties to even; Floor before the quantizer |"
    )
    yield f"| rounding of weights | {', '.join(WEIGHT_ROUNDINGS)} | ties to even |"
    yield (
        f"| results that the model does not quantize | {OUTPUT_BITS} bits, signed, one scale | the "
        "same |"
    )
