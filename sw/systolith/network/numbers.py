"""Integer types of activations, and how accumulators become activations."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from systolith.network.errors import raise_if_any

__all__ = ["ActType", "IntArray", "Overflow", "Requantize", "Rounding", "frozen_ints"]

IntArray = NDArray[np.int64]

MAX_ACT_BITS = 16
MAX_MULTIPLIER_BITS = 16
MAX_SHIFT = 47


class Rounding(Enum):
    """What happens to the bits that a right shift drops."""

    HALF_UP = "half_up"
    """To nearest, ties towards plus infinity: add half of the last kept bit, then floor."""
    FLOOR = "floor"
    """Towards minus infinity: the bits are dropped."""


class Overflow(Enum):
    """What happens to values outside the output type."""

    SATURATE = "saturate"
    """The nearest value of the type."""
    WRAP = "wrap"
    """Modulo 2**bits, as two's complement hardware does that drops the upper bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActType:
    """Type of one activation tensor: an integer `q` that stands for ``scale * (q - zero_point)``.

    The scale itself is no part of the contract: integer arithmetic never needs it.

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
        If bits or zero_point are out of range.
    """

    bits: int
    signed: bool
    zero_point: int = 0

    def __post_init__(self) -> None:
        raise_if_any(self._problems())

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
    """From accumulator to activation, per output channel.

    ``y = overflow(((acc * multiplier + half) >> shift) + zero_point)``, then clamped to `clamp`.
    ``half`` is ``2**(shift-1)`` for :attr:`Rounding.HALF_UP` with shift > 0, and 0 otherwise; type
    and zero_point are those of the layer's output.

    Parameters
    ----------
    multiplier : array of int, shape (channels,) or (1,)
        0..65535. All ones is the power-of-two mode, which costs no hardware multiplier.
    shift : array of int, shape (channels,) or (1,)
        0..47.
    rounding, overflow
        See the enumerations.
    clamp : pair of int, optional
        Lower and upper bound in output integers: ReLU is ``(zero_point, high)``. None: no clamp.

    Raises
    ------
    NetworkError
        If an array has a wrong shape, type or range, or the clamp is empty.
    """

    multiplier: IntArray
    shift: IntArray
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE
    clamp: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        problems: list[str] = []
        for field, high in (("multiplier", (1 << MAX_MULTIPLIER_BITS) - 1), ("shift", MAX_SHIFT)):
            values = frozen_ints(getattr(self, field), f"requantize {field}", problems)
            object.__setattr__(self, field, values)
            if values.ndim != 1 or values.size == 0:
                problems.append(
                    f"requantize {field} must have shape (channels,) or (1,), got {values.shape}"
                )
            elif values.min() < 0 or values.max() > high:
                problems.append(
                    f"requantize {field} must lie in 0..{high}, got {values.min()}..{values.max()}"
                )
        if self.clamp is not None:
            object.__setattr__(self, "clamp", (int(self.clamp[0]), int(self.clamp[1])))
            if self.clamp[0] > self.clamp[1]:
                problems.append(f"requantize clamp must be (low, high), got {self.clamp}")
        raise_if_any(problems)

    @property
    def power_of_two(self) -> bool:
        """Whether every multiplier is 1, so that a shift is enough."""
        return bool((self.multiplier == 1).all())

    def problems(self, channels: int, output: ActType) -> Iterator[str]:
        """What does not fit a layer of `channels` outputs of type `output`."""
        for field in ("multiplier", "shift"):
            size = getattr(self, field).size
            if size not in (1, channels):
                yield f"requantize {field} needs 1 or {channels} values, got {size}"
        if self.clamp is not None and not (
            output.low <= self.clamp[0] and self.clamp[1] <= output.high
        ):
            yield f"requantize clamp must lie within {output.low}..{output.high}, got {self.clamp}"


def frozen_ints(values: ArrayLike, what: str, problems: list[str]) -> IntArray:
    """Copy to a read-only int64 array; anything but whole numbers is added to `problems`."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        problems.append(f"{what} must be integers, got {array.dtype}")
        array = np.zeros(array.shape)
    frozen = np.array(array, dtype=np.int64, order="C")
    frozen.setflags(write=False)
    return frozen
