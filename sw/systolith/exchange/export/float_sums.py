"""Sums that float32 holds, in which programs compute what a file says."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from math import gcd

from systolith.exchange.export.graph import Format
from systolith.exchange.export.scales import (
    channel_factor,
    channel_offset,
    has_ties,
    is_power_of_two,
)
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    Linear,
    Multiply,
    Requantized,
    Rounding,
)

__all__ = [
    "common_factor",
    "computes_exactly",
    "float_problems",
    "has_whole_factors",
    "loses_zero_point",
]

MOST = 1 << 24
"""float32 holds every whole number up to this one."""
HOLDS = f"holds whole numbers up to {MOST:,}"
MOST_DIVIDED = MOST // 4
"""Greatest sum that float32 distinguishes from the next after it was multiplied or divided."""


def float_problems(network: IntegerNetwork, layer: Requantized, form: Format) -> Iterator[str]:
    """List what float32 does not hold of a layer whose results should be equal.

    These are layers that count thresholds, and layers whose factors are powers of two. Other
    factors are rounded to float32 themselves: sums then have a relative error, as large for small
    sums as for large ones.
    """
    counts = layer.requantize.thresholds is not None
    sums, limit = _largest_sum(network, layer), f"float32, in which the file is computed, {HOLDS}"
    if not has_whole_factors(network, layer):
        if counts:
            yield from _counting_problems(network, layer)
        else:
            yield from _steps_problems(network, layer)
        return
    if sums > MOST:
        yield f"layer '{layer.name}': sums reach {sums:,}; {limit}: {_rewrite(layer)}"
    elif not counts and (
        (moved := int(max(value / unit for value, unit in _list_moved(network, layer)))) > MOST
    ):
        yield (
            f"layer '{layer.name}': sums with what is added before they are rounded reach "
            f"{moved:,} steps; {limit}: {_rewrite(layer)}"
        )
    elif (
        form is Format.QONNX
        and layer.requantize.rounding is Rounding.HALF_EVEN
        and loses_zero_point(network, layer)
        and has_ties(network, layer)
    ):
        yield (
            f"layer '{layer.name}': rounds ties to even; QONNX adds zero point "
            f"{layer.output.zero_point} before, and {limit}: export as qdq"
        )


def computes_exactly(
    network: IntegerNetwork, layer: Requantized, scales: Mapping[str, Fraction]
) -> bool:
    """Whether float32 rounds nothing of a layer, up to its quantizer."""
    tensors = (*layer.inputs, layer.name)
    return has_whole_factors(network, layer) and all(
        is_power_of_two(scales[name]) for name in tensors
    )


def loses_zero_point(network: IntegerNetwork, layer: Requantized) -> bool:
    """Whether float32 does not hold the sum of a scaled result and the zero point."""
    zero = abs(layer.output.zero_point)
    if not zero or layer.requantize.thresholds is not None:
        return False
    return any((value + zero) / unit > MOST for value, unit in _list_moved(network, layer))


def has_whole_factors(network: IntegerNetwork, layer: Requantized) -> bool:
    """Whether a layer multiplies sums by powers of two only."""
    spec = layer.requantize
    if spec.negative is not None:
        return False
    channels = range(network.tensors[layer.name].shape[0])
    if not all(is_power_of_two(channel_factor(spec, channel)) for channel in channels):
        return False
    match layer:
        case Add():
            common = gcd(*layer.multipliers)
            return is_power_of_two(Fraction(common)) and all(
                is_power_of_two(Fraction(multiplier, common)) for multiplier in layer.multipliers
            )
        case AvgPool2d():
            area = layer.divisor(network.tensors[layer.input].shape)
            return is_power_of_two(Fraction(area)) and layer.counted is None
        case _:
            return True


def common_factor(layer: Requantized) -> int:
    """Give the number that all sums are multiples of."""
    return gcd(*layer.multipliers) if isinstance(layer, Add) else 1


def _largest_sum(network: IntegerNetwork, layer: Requantized) -> int:
    """Greatest magnitude of any partial sum, as the file adds."""
    added = layer
    if isinstance(layer, AvgPool2d):
        # Factors of smaller windows are divisions in the file.
        added = replace(layer, counted=None)
    bounds = added.accumulator_range(network.inputs_of(layer))
    return max(map(abs, bounds)) // common_factor(layer)


def _list_moved(network: IntegerNetwork, layer: Requantized) -> Iterator[tuple[Fraction, Fraction]]:
    """List the greatest results with half a unit or an offset, by channel, and their least step.

    Both are in units of the output. Results that are clipped do not count. The step is half of that
    of the sums with an offset, which lies in the middle of two sums.
    """
    spec, act = layer.requantize, layer.output
    clipped = Fraction(2 + max(act.high - act.zero_point, act.zero_point - act.low))
    adds_half = spec.rounding is Rounding.HALF_UP and has_ties(network, layer)
    sums = _largest_sum(network, layer)
    for channel in range(network.tensors[layer.name].shape[0]):
        step = channel_factor(spec, channel) * common_factor(layer)
        offset = abs(channel_offset(spec, channel))
        if spec.offset is not None:
            yield max(offset, min(sums * step + offset, clipped)), min(step, Fraction(1)) / 2
        else:
            added = Fraction(adds_half, 2)
            yield min(sums * step + added, clipped), min(step, Fraction(1))


def _steps_problems(network: IntegerNetwork, layer: Requantized) -> Iterator[str]:
    """Refuse sums that float32 rounds by half a step of the output, or more."""
    spec = layer.requantize
    channels = range(network.tensors[layer.name].shape[0])
    factors = [channel_factor(spec, channel) for channel in channels]
    reached = int(max(map(abs, layer.accumulator_range(network.inputs_of(layer)))) * max(factors))
    if reached >= MOST:
        yield (
            f"layer '{layer.name}': sums reach {reached:,} steps of its output; float32, in which "
            f"the file is computed, rounds them to whole steps or more: {_rewrite(layer)}"
        )


def _counting_problems(network: IntegerNetwork, layer: Requantized) -> Iterator[str]:
    """Refuse thresholds of sums that float32 does not tell apart after it scaled them."""
    reached = max(map(abs, layer.accumulator_range(network.inputs_of(layer))))
    if reached > MOST_DIVIDED:
        yield (
            f"layer '{layer.name}': counts thresholds of sums that reach {reached:,}; float32, in "
            f"which the file is computed, tells sums up to {MOST_DIVIDED:,} apart after it scaled "
            f"them: {_rewrite(layer)}"
        )


def _rewrite(layer: Requantized) -> str:
    match layer:
        case Conv2d() | Linear():
            return "give its weights, its bias or its input fewer bits"
        case AvgPool2d():
            return "make its window smaller, or give its input fewer bits"
        case Add():
            return "give its inputs fewer bits, or scales that are closer to each other"
        case Multiply():
            return "give its inputs fewer bits"
