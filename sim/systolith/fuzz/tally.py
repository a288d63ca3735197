"""What a case contains, to see that cases cover the contract."""

from collections.abc import Iterator
from types import MappingProxyType

from systolith.fuzz.case import Case
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    Dense,
    Granularity,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    Pattern,
    PerNeuron,
    Rounding,
    Strided,
)
from systolith.plan import scale_bits

__all__ = ["KINDS", "contents"]

KINDS = (
    *("convolution", "depthwise", "linear", "max pool", "average pool", "global pool", "addition"),
    *("dense", "k-of-n weights", "k-of-n kernels", "per neuron", "strided", "shared"),
    *(
        "1-bit weights",
        "packed",
        "look-up multipliers",
        "distributed memories",
        "power-of-two scale",
    ),
    *("offsets", "power-of-two scale with offsets"),
    *("ties up", "ties to even", "no rounding"),
    *("several outputs", "reloadable"),
)
"""All that can be counted."""

_ROUNDINGS = MappingProxyType(
    {
        Rounding.HALF_UP: "ties up",
        Rounding.HALF_EVEN: "ties to even",
        Rounding.FLOOR: "no rounding",
    }
)


def contents(case: Case) -> Iterator[str]:
    """List what a case contains, once for each layer that has it."""
    for layer in case.network.layers:
        yield from _kinds(layer)
        if isinstance(layer, Conv2d | Linear | AvgPool2d | Add):
            yield _ROUNDINGS[layer.requantize.rounding]
            if layer.requantize.offset is not None:
                yield "offsets"
                if not scale_bits(layer.requantize):
                    yield "power-of-two scale with offsets"
        if isinstance(layer, Conv2d | Linear):
            yield from _patterns(layer.pattern)
            if layer.weight_bits == 1:
                yield "1-bit weights"
            if layer.requantize.power_of_two:
                yield "power-of-two scale"
    yield from ("packed" for array in case.arrays.values() if array.packed > 1)
    yield from ("look-up multipliers" for _ in case.lookup)
    yield from (
        "distributed memories" for _ in {*case.distributed_weights, *case.distributed_windows}
    )
    if len(case.network.outputs) > 1:
        yield "several outputs"
    if case.reloadable:
        yield "reloadable"


def _kinds(layer: Layer) -> Iterator[str]:
    match layer:
        case Conv2d():
            yield "convolution" if layer.groups == 1 else "depthwise"
        case Linear():
            yield "linear"
        case MaxPool2d():
            yield "max pool"
        case AvgPool2d():
            yield "global pool" if layer.kernel_size is None else "average pool"
        case Add():
            yield "addition"


def _patterns(pattern: Pattern) -> Iterator[str]:
    match pattern.select:
        case Dense():
            yield "dense"
        case KOutOfN(granularity=granularity, shared_by=shared):
            yield "k-of-n kernels" if granularity is Granularity.KERNEL else "k-of-n weights"
            if shared > 1:
                yield "shared"
        case PerNeuron(shared_by=shared):
            yield "per neuron"
            if shared > 1:
                yield "shared"
    if isinstance(pattern.taps, Strided):
        yield "strided"
