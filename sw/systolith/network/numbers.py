"""Integer types of activations, and the requantization of accumulators."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from systolith.network._fields import Fields

__all__ = [
    "FITTED_MULTIPLIER_BITS",
    "FITTED_SHIFT",
    "MAX_MULTIPLIER_BITS",
    "MAX_OFFSET_BITS",
    "MAX_SHIFT",
    "USUAL_MULTIPLIER_BITS",
    "ActType",
    "IntArray",
    "Overflow",
    "Requantize",
    "Rounding",
    "signed_bits",
]

IntArray = NDArray[np.int64]

MAX_ACT_BITS = 16
MAX_MULTIPLIER_BITS = 31
"""Greatest bit width of requantizer multipliers, those of TFLite files."""
FITTED_MULTIPLIER_BITS = 24
"""Greatest bit width of multipliers that are fitted to a ratio of scales."""
USUAL_MULTIPLIER_BITS = 16
"""Bit width of multipliers from training, and the least of hardware with loadable parameters."""
MAX_SHIFT = 62
FITTED_SHIFT = 47
"""Greatest shift of multipliers that are fitted to a ratio of scales."""
TFLITE_SHIFT = 31
"""Bits that the first of TFLite's two shifts drops."""
MAX_THRESHOLD_BITS = 48
"""Bit width of signed thresholds: those of accumulators, and one that none of them reaches."""
MAX_OFFSET_BITS = 62
"""Bit width of signed requantizer offsets; 64 bits hold the sum with the largest product."""


class Rounding(Enum):
    """Rounding of the bits that a right shift drops."""

    HALF_UP = "half_up"
    """To nearest, ties towards plus infinity: add half of the last kept bit, then floor."""
    FLOOR = "floor"
    """Towards minus infinity: the bits are dropped."""
    HALF_EVEN = "half_even"
    """To nearest, ties to the even integer, as ONNX, QONNX and IEEE 754 round by default."""
    TFLITE = "tflite"
    """To nearest, twice, as the convolutions and additions of TFLite's reference kernels round: the
    first 31 bits with ties towards plus infinity, then the others with ties away from zero."""

    @property
    def to_nearest(self) -> bool:
        """Whether half of the last kept bit is added before the shift."""
        return self is not Rounding.FLOOR


class Overflow(Enum):
    """Handling of values outside the output type."""

    SATURATE = "saturate"
    """The nearest value of the type."""
    WRAP = "wrap"
    """Modulo 2**bits, as in hardware that drops the upper bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActType:
    """Type of one activation tensor: an integer `q` that stands for ``scale * (q - zero_point)``.

    The scale is not part of the network: integer arithmetic does not need it.

    Parameters
    ----------
    bits : int
        1..16. Signed types have at least 2.
    signed : bool
        Two's complement if true.
    zero_point : int
        The integer that stands for zero; a value of the type. Padding inserts it.

    Raises
    ------
    NetworkError
        If a field has another type, or bits or zero_point are out of range.

    Examples
    --------
    >>> act = ActType(bits=8, signed=True, zero_point=-3)
    >>> str(act), act.low, act.high
    ('int8 zero -3', -128, 127)
    """

    bits: int
    signed: bool
    zero_point: int = 0

    def __post_init__(self) -> None:
        fields = Fields(self)
        typed = [fields.integer("bits"), fields.boolean("signed"), fields.integer("zero_point")]
        if all(typed):
            fields.problems += self._problems()
        fields.finish()

    def _problems(self) -> Iterator[str]:
        least = 2 if self.signed else 1
        kind = "signed" if self.signed else "unsigned"
        if not least <= self.bits <= MAX_ACT_BITS:
            yield f"{kind} activations need {least}..{MAX_ACT_BITS} bits, got {self.bits}"
        elif not self.low <= self.zero_point <= self.high:
            yield (
                f"zero_point of {kind} {self.bits}-bit activations must lie in "
                f"{self.low}..{self.high}, got {self.zero_point}"
            )

    @property
    def low(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def __str__(self) -> str:
        zero = f" zero {self.zero_point}" if self.zero_point else ""
        return f"{'int' if self.signed else 'uint'}{self.bits}{zero}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requantize:
    """Conversion of accumulators to activations, per output channel.

    ``y = overflow(((acc * multiplier + offset + half) >> shift) + zero_point)``, then clamped to
    `clamp`. ``half`` is ``2**(shift-1)`` if :attr:`Rounding.to_nearest` and shift > 0, and 0
    otherwise; type and zero_point are those of the layer's output. With
    :attr:`Rounding.HALF_EVEN`, a tie is a sum ``acc * multiplier + offset + half`` whose dropped
    bits are all 0. The lowest bit of its shifted value is cleared before zero_point is added. So
    ties go to the even scaled value, as in ``round(x / scale) + zero_point``. With
    :attr:`Rounding.TFLITE`, a shift of more than 31 bits is two shifts, each with its own rounding:
    ``t = (acc * multiplier + offset + 2**30) >> 31``, then
    ``(t + 2**(shift-32) - (t < 0)) >> (shift-31)`` in place of the scaled value.

    With `negative`, accumulators below 0 are multiplied with those numbers instead: a LeakyReLU, or
    a PReLU with a slope for each channel, without a second rounding.

    With `thresholds`, ``y = low + number of thresholds t of the channel with acc >= t`` in place of
    all this, where `low` is the least integer of the output's type.

    A layer's bias is a whole number of accumulator steps. A constant between two steps, such as the
    shift of a batch norm, is an offset, in units of ``2**-shift`` of an output unit.

    Parameters
    ----------
    multiplier : array of int, shape (channels,) or (1,)
        At most 31 bits, usually at most 16. If all are 1, hardware needs no multiplier.
    shift : array of int, shape (channels,) or (1,)
        0..62.
    offset : array of int, shape (channels,) or (1,), optional
        Added to the product; 62 bits, signed. None for 0.
    rounding, overflow
        See the enumerations.
    clamp : pair of int, optional
        Lower and upper bound in output integers; ReLU is ``(zero_point, high)``. None for no clamp.
    negative : array of int, shape (channels,) or (1,), optional
        Multipliers of negative accumulators: slope times multiplier, at most 31 bits and a sign.
        None for those of all accumulators. An offset is not supported beside them.
    thresholds : array of int, shape (channels, levels) or (1, levels), optional
        Ascending, 48 bits signed; an integer of the output is skipped where two are equal. All
        other parameters are then those of a multiplier of 1 and a shift of 0. None for an affine
        requantization.

    Raises
    ------
    NetworkError
        If a field has a wrong type, shape or range, or the clamp is empty.

    Examples
    --------
    >>> half = Requantize(multiplier=[1], shift=[1], clamp=(0, 127))
    >>> half.power_of_two, half.shift
    (True, array([1]))
    """

    multiplier: IntArray
    shift: IntArray
    offset: IntArray | None = None
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE
    clamp: tuple[int, int] | None = None
    negative: IntArray | None = None
    thresholds: IntArray | None = None

    def __post_init__(self) -> None:
        fields = Fields(self)
        most, most_offset = (1 << MAX_MULTIPLIER_BITS) - 1, (1 << (MAX_OFFSET_BITS - 1)) - 1
        for field, low, high in (
            ("multiplier", 0, most),
            ("shift", 0, MAX_SHIFT),
            ("offset", -most_offset - 1, most_offset),
            ("negative", -most, most),
        ):
            if field in ("offset", "negative") and getattr(self, field) is None:
                continue
            if fields.int_array(field, f"requantize {field}"):
                fields.problems += _range_problems(field, getattr(self, field), low, high)
        fields.instance("rounding", Rounding)
        fields.instance("overflow", Overflow)
        if self.clamp is not None and fields.integers("clamp", 2) and self.clamp[0] > self.clamp[1]:
            fields.problems.append(f"requantize clamp must be (low, high), got {self.clamp}")
        if self.negative is not None and self.offset is not None:
            fields.problems.append("requantize takes no offset beside negative, got both")
        if self.thresholds is not None and fields.int_array("thresholds", "requantize thresholds"):
            problems = self._threshold_problems(self.thresholds)
            fields.problems += [] if fields.problems else problems
        fields.finish()

    @classmethod
    def by_thresholds(cls, thresholds: ArrayLike) -> "Requantize":
        """Make a requantization that counts thresholds, shape (channels, levels) or (1, levels).

        >>> Requantize.by_thresholds([[-3, 0, 40]]).levels
        3
        """
        array = np.asarray(thresholds)
        return cls(multiplier=np.ones(1, int), shift=np.zeros(1, int), thresholds=array)

    @property
    def levels(self) -> int:
        """Number of thresholds of a channel; 0 without thresholds."""
        return 0 if self.thresholds is None else self.thresholds.shape[1]

    def _threshold_problems(self, thresholds: IntArray) -> Iterator[str]:
        if thresholds.ndim != 2 or thresholds.size == 0:
            yield (
                "requantize thresholds must have shape (channels, levels) or (1, levels), "
                f"got {thresholds.shape}"
            )
            return
        limit = 1 << (MAX_THRESHOLD_BITS - 1)
        least, most = int(thresholds.min()), int(thresholds.max())
        if least < -limit or most >= limit:
            yield (
                f"requantize thresholds must fit {MAX_THRESHOLD_BITS} bits signed, "
                f"got {least}..{most}"
            )
        elif (np.diff(thresholds, axis=1) < 0).any():
            yield "requantize thresholds must ascend in each channel"
        arrays = self.offset is None and self.negative is None and not np.any(self.shift)
        others = (self.rounding, self.overflow, self.clamp)
        plain = self.power_of_two and arrays
        if not plain or others != (Rounding.HALF_UP, Overflow.SATURATE, None):
            yield (
                "requantize thresholds go with multiplier 1, shift 0, no offset, ties up, "
                "saturation and no clamp"
            )

    @property
    def power_of_two(self) -> bool:
        """Whether every multiplier is 1, so that a shift is enough."""
        return self.negative is None and bool((self.multiplier == 1).all())

    @property
    def most_multiplier(self) -> int:
        """Greatest magnitude of any multiplier."""
        factors = [self.multiplier] if self.negative is None else [self.multiplier, self.negative]
        return max(int(np.abs(factor).max()) for factor in factors)

    def problems(self, channels: int, output: ActType) -> Iterator[str]:
        """List what does not fit a layer of `channels` outputs of type `output`."""
        for field in ("multiplier", "shift", "offset", "negative"):
            values = getattr(self, field)
            size = 1 if values is None else values.size
            if size not in (1, channels):
                wanted = f"1 or {channels} values" if channels > 1 else "1 value"
                yield f"requantize {field} needs {wanted}, got {size}"
        if self.clamp is not None and not (
            output.low <= self.clamp[0] and self.clamp[1] <= output.high
        ):
            yield f"requantize clamp must lie within {output.low}..{output.high}, got {self.clamp}"
        if self.thresholds is None:
            return
        if len(self.thresholds) not in (1, channels):
            wanted = f"1 or {channels} rows" if channels > 1 else "1 row"
            yield f"requantize thresholds need {wanted}, got {len(self.thresholds)}"
        if self.levels > (most := output.high - output.low):
            yield (
                f"requantize thresholds of {output} are at most {most} for a channel, "
                f"got {self.levels}"
            )


def _range_problems(field: str, values: IntArray, low: int, high: int) -> Iterator[str]:
    if values.ndim != 1 or values.size == 0:
        yield f"requantize {field} must have shape (channels,) or (1,), got {values.shape}"
    elif (least := values.min()) < low or values.max() > high:
        yield f"requantize {field} must lie in {low}..{high}, got {least}..{values.max()}"


def signed_bits(low: int, high: int) -> int:
    """Compute the bit width of the two's complement type that holds `low` and `high`.

    >>> signed_bits(-128, 127), signed_bits(-129, 0), signed_bits(0, 128), signed_bits(0, 0)
    (8, 9, 9, 1)
    """
    return max((~value if value < 0 else value).bit_length() for value in (low, high)) + 1
