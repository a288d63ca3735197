"""Parameters of requantizers: their widths, and the words that their memories hold."""

from dataclasses import dataclass

import numpy as np
from amaranth import Shape, signed, unsigned
from amaranth.lib import data

from systolith.gateware.parameters import ParameterTable
from systolith.gateware.requantizing.thresholds import threshold_tables
from systolith.network import (
    MAX_SHIFT,
    ActType,
    IntArray,
    Overflow,
    Requantize,
    Rounding,
    signed_bits,
)
from systolith.plan import (
    SPARE_BIAS_BITS,
    addends,
    multiplier_latency,
    offset_bits,
    requantize_latency,
    scale_bits,
    signed_factor,
    threshold_bits,
    trailing_zeros,
    zeros_at_end,
)

__all__ = ["RequantizerShape", "requantizer_tables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequantizerShape:
    """All parameters of a requantizer's circuit; equal shapes are one Verilog module.

    Parameters
    ----------
    acc_bits, bias_bits : int
        Widths of accumulator and bias, signed.
    multiplier_bits : int
        Width of the multiplier; 0 without one, because every factor is 1.
    trailing_zeros : int
        Zero bits at the end of all multipliers; `multiplier_bits` does not include them.
    has_offsets : bool
        Whether the bias is added behind the multiplier, as part of an offset.
    has_slopes : bool
        Whether negative sums have multipliers of their own.
    signed_factor : bool
        Whether those have a sign; `multiplier_bits` includes it.
    threshold_bits : int
        Bits of a count of thresholds, which then is all that the circuit does; otherwise 0.
    shifts : pair of int
        Smallest and largest shift.
    rounding : Rounding
    overflow : Overflow
    clamp : pair of int, optional
    output : ActType
    """

    acc_bits: int
    bias_bits: int
    multiplier_bits: int
    shifts: tuple[int, int]
    rounding: Rounding
    overflow: Overflow
    clamp: tuple[int, int] | None
    output: ActType
    trailing_zeros: int = 0
    has_offsets: bool = False
    has_slopes: bool = False
    signed_factor: bool = False
    threshold_bits: int = 0

    @classmethod
    def of(
        cls,
        acc_bits: int,
        biases: IntArray,
        spec: Requantize,
        output: ActType,
        *,
        loadable: bool = False,
    ) -> "RequantizerShape":
        """Make all widths fit the given parameters; if loadable, any others of the same kind."""
        zeros = trailing_zeros(spec, reloadable=loadable)
        bias_bits = signed_bits(int(biases.min()), int(biases.max()))
        if loadable:
            bias_bits = max(acc_bits + SPARE_BIAS_BITS, bias_bits)
        own_shifts = int(spec.shift.min()), int(spec.shift.max())
        return cls(
            acc_bits=acc_bits,
            bias_bits=offset_bits(acc_bits, biases, spec, reloadable=loadable) or bias_bits,
            multiplier_bits=scale_bits(spec, reloadable=loadable),
            shifts=(0, MAX_SHIFT + zeros) if loadable else own_shifts,
            rounding=spec.rounding,
            overflow=spec.overflow,
            clamp=spec.clamp,
            output=output,
            trailing_zeros=zeros,
            has_offsets=spec.offset is not None,
            has_slopes=spec.negative is not None,
            signed_factor=signed_factor(spec, reloadable=loadable),
            threshold_bits=threshold_bits(spec),
        )

    @property
    def latency(self) -> int:
        """Cycles from accumulator and parameters to activation."""
        twice = self.rounding is Rounding.TFLITE
        return requantize_latency(self.factor_bits, self.multiplier_bits, rounds_twice=twice) - 1

    @property
    def factor_bits(self) -> int:
        """Width of the sum that is scaled; a bias is added to it, an offset is not."""
        return self.acc_bits if self.has_offsets else max(self.acc_bits, self.bias_bits) + 1

    @property
    def scale_latency(self) -> int:
        """Cycles from a sum to its product with the multiplier."""
        return multiplier_latency(self.factor_bits, self.multiplier_bits)

    @property
    def shift_bits(self) -> int:
        """Width of the shift; 0 if all shifts are equal."""
        least, most = self.shifts
        return most.bit_length() if least != most else 0

    @property
    def word(self) -> data.StructLayout:
        """Layout of the parameters of one channel."""
        return data.StructLayout(
            {
                "bias": signed(self.bias_bits),
                "multiplier": unsigned(self.multiplier_bits - self.signed_factor),
                "shift": unsigned(self.shift_bits),
                "negative": Shape(self.negative_bits, self.signed_factor),
            }
        )

    @property
    def negative_bits(self) -> int:
        """Width of the multipliers of negative sums; 0 if there are none."""
        return self.multiplier_bits if self.has_slopes else 0

    def pack(self, bias: int, multiplier: int, shift: int, negative: int = 0) -> int:
        """Lay the parameters of one channel out as a word.

        Parameters
        ----------
        bias : int
            With offsets, the addend of the product.
        multiplier, shift, negative : int
            As in :class:`systolith.network.Requantize`.

        Raises
        ------
        ValueError
            If a parameter is wider than its field.
        """
        # The multiplier must end in as many zeros as the circuit leaves out.
        missing = max(self.trailing_zeros - zeros_at_end(multiplier), 0) if multiplier else 0
        bias, multiplier, shift = bias << missing, multiplier << missing, shift + missing
        multiplier >>= self.trailing_zeros
        if signed_bits(bias, bias) > self.bias_bits:
            what = "bias and offset" if self.has_offsets else "bias"
            raise ValueError(f"{what} must fit {self.bias_bits} bits, got {bias}")
        if self.multiplier_bits == 0 and multiplier != 1:
            raise ValueError(f"multiplier must be 1, got {multiplier}")
        if self.multiplier_bits and multiplier.bit_length() > self.multiplier_bits:
            raise ValueError(f"multiplier must fit {self.multiplier_bits} bits, got {multiplier}")
        magnitude = self.negative_bits - self.signed_factor
        if abs(negative).bit_length() > magnitude or (negative < 0 and not self.signed_factor):
            kind = "signed " if self.signed_factor else ""
            raise ValueError(
                f"multiplier of negative sums must fit {kind}{self.negative_bits} bits, "
                f"got {negative}"
            )
        least, most = self.shifts
        if not least <= shift <= most:
            raise ValueError(f"shift must lie in {least}..{most}, got {shift}")
        values = {"bias": bias, "multiplier": multiplier if self.multiplier_bits else 0}
        values |= {"shift": shift if self.shift_bits else 0, "negative": negative}
        return int(self.word.const(values).as_bits())


def requantizer_tables(
    shape: RequantizerShape, biases: IntArray, spec: Requantize, lanes: int
) -> tuple[ParameterTable, ...]:
    """Deal the parameters of all channels to the lanes.

    There is one table for each lane, or one for each stage of each lane if thresholds are counted.

    Parameters
    ----------
    shape : RequantizerShape
    biases : array of int, shape (channels,)
    spec : Requantize
    lanes : int

    Raises
    ------
    ValueError
        If a parameter does not fit the shape.
    """
    if shape.threshold_bits:
        return threshold_tables(shape.acc_bits, shape.threshold_bits, biases, spec, lanes)
    channels = len(biases)
    multiplier = np.broadcast_to(spec.multiplier, channels).tolist()
    shift = np.broadcast_to(spec.shift, channels).tolist()
    added = addends(biases, spec) if shape.has_offsets else biases.tolist()
    if spec.offset is not None and not shape.has_offsets:
        raise ValueError("offsets need a design with offsets, but this one has none")
    negative = [0] * channels
    if shape.has_slopes:
        # Without slopes, negative sums have the multiplier of all others.
        own = spec.multiplier if spec.negative is None else spec.negative
        negative = np.broadcast_to(own, channels).tolist()
    elif spec.negative is not None:
        raise ValueError("slopes need a design with slopes, but this one has none")
    parameters = zip(added, multiplier, shift, negative, strict=True)
    words = [shape.pack(*channel) for channel in parameters]
    words += [0] * (-channels % lanes)
    width = Shape.cast(shape.word).width
    return tuple(
        ParameterTable(name=f"parameters_{lane}", width=width, words=tuple(words[lane::lanes]))
        for lane in range(lanes)
    )
