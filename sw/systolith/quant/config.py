"""Widths of weights and activations, with exceptions for single layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from systolith.network import NetworkError

__all__ = ["LayerBits", "QuantConfig", "UnsupportedModelError"]

MIN_WEIGHT_BITS, MIN_ACT_BITS, MIN_BITS, MAX_BITS = 1, 1, 2, 8
MAX_OUTPUT_BITS = 16


class UnsupportedModelError(NetworkError):
    """A model, or a configuration for it, that cannot be quantized.

    Each problem gives the qualified name of a layer, its type and the reason.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBits:
    """Widths of one layer; None follows the default."""

    weight_bits: int | None = None
    act_bits: int | None = None
    narrow_range: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantConfig:
    """How a network is quantized.

    Parameters
    ----------
    weight_bits, act_bits : int
        Weights have 1..8 bits and are signed; one bit is -1 or +1. Outputs of layers have 1..8
        bits, unsigned after ReLU or ReLU6, else signed; one bit is the sign, -1 or +1, of
        convolutions, linear layers and functions, in place of a ReLU.
    narrow_range : bool
        Leave ``-2**(b-1)`` out of the range of b-bit weights, which becomes symmetric. Two bits are
        then ternary: -1, 0 or +1.
    layers : mapping of str to LayerBits
        Exceptions by layer: by qualified module name (``"layer1.0.conv1"``) or readable name
        (``"layer1_0_conv1"``). Functions have a readable name only.
    input_bits : int
        Width of the network's input, 2..8.
    input_signed : bool
        False for images in 0..1, true for normalized ones.
    output_bits : int
        Width of the logits, 2..16; signed unless the last layer ends in a ReLU. With 16 bits,
        quantization does not change a decision.
    power_of_two : bool
        Learned steps are powers of two, and weights have one step per layer instead of one per
        channel. Requantization then is a shift: no multiplier, no barrel shifter. Two cases keep a
        small multiplier: average pools whose window area is not a power of two, and outputs finer
        than their accumulators, such as 16-bit logits of a layer with few bits.

    Raises
    ------
    UnsupportedModelError
        Lists every width that is out of range.
    """

    weight_bits: int = 8
    act_bits: int = 8
    narrow_range: bool = False
    layers: Mapping[str, LayerBits] = field(default_factory=dict)
    input_bits: int = 8
    input_signed: bool = False
    output_bits: int = MAX_OUTPUT_BITS
    power_of_two: bool = False

    def __post_init__(self) -> None:
        UnsupportedModelError.raise_if_any(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from _range_problem("weight_bits", self.weight_bits, MIN_WEIGHT_BITS)
        yield from _range_problem("act_bits", self.act_bits, MIN_ACT_BITS)
        yield from _range_problem("input_bits", self.input_bits)
        yield from _range_problem("output_bits", self.output_bits, most=MAX_OUTPUT_BITS)
        for name, bits in self.layers.items():
            if bits.weight_bits is not None:
                what = f"weight_bits of layer '{name}'"
                yield from _range_problem(what, bits.weight_bits, MIN_WEIGHT_BITS)
            if bits.act_bits is not None:
                what = f"act_bits of layer '{name}'"
                yield from _range_problem(what, bits.act_bits, MIN_ACT_BITS)


def _range_problem(
    what: str, bits: int, least: int = MIN_BITS, most: int = MAX_BITS
) -> Iterator[str]:
    if not least <= bits <= most:
        yield f"{what} must lie in {least}..{most}, got {bits}"
