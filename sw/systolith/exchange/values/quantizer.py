"""Quantizers of float graphs, and the quantizer of the model's input."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qonnx.custom_op.general.intquant import resolve_rounding_mode

from systolith.exchange.errors import ExchangeError
from systolith.network import ActType, IntArray, Rounding, Shape

__all__ = [
    "HALF_TO_PLUS_INFINITY",
    "NONNEGATIVE_ROUNDINGS",
    "ROUNDINGS",
    "FloatArray",
    "InputQuantizer",
    "InputStep",
    "Quantizer",
    "whole_ratio",
]

FloatArray = NDArray[np.float64]

RATIO_TOLERANCE = 2.0**-22
"""Relative error up to which float32 does not distinguish a ratio from a whole number."""

HALF_TO_PLUS_INFINITY = "half to plus infinity"
"""Rounding of a quantizer that drops fractions after half a unit was added."""

ROUNDINGS = {
    HALF_TO_PLUS_INFINITY: Rounding.HALF_UP,
    "ROUND": Rounding.HALF_EVEN,
    "HALF_EVEN": Rounding.HALF_EVEN,
    "FLOOR": Rounding.FLOOR,
}
NONNEGATIVE_ROUNDINGS = {"HALF_UP": Rounding.HALF_UP, "DOWN": Rounding.FLOOR}
"""They round the magnitude, so the contract has them only for values that are never negative."""


def whole_ratio(number: float, unit: float) -> int | None:
    """Give the whole number of units that float32 does not distinguish from a number; else None.

    >>> whole_ratio(0.3, 0.1), whole_ratio(0.35, 0.1)
    (3, None)
    """
    ratio = number / unit
    return round(ratio) if abs(ratio - round(ratio)) <= RATIO_TOLERANCE * abs(ratio) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """From real values to integers of a type: ``clip(round(x / scale) + zero_point)``.

    Attributes
    ----------
    scale : float
    type : ActType
    rounding : str
        Name in QONNX; ONNX's own quantizers round ties to even.
    narrow : bool
        Whether a signed type leaves out its least value, or an unsigned one its greatest.
    after_zero_point : bool
        Whether the zero point is added before rounding, as in QONNX; ONNX adds it after.
    bounds : pair of int
        Further bounds of the integers.
    """

    scale: float
    type: ActType
    rounding: str = "ROUND"
    narrow: bool = False
    after_zero_point: bool = False
    bounds: tuple[float, float] = (-inf, inf)

    @property
    def low(self) -> int:
        """Least integer."""
        return int(max(self.type.low + (self.narrow and self.type.signed), self.bounds[0]))

    @property
    def high(self) -> int:
        """Greatest integer."""
        return int(min(self.type.high - (self.narrow and not self.type.signed), self.bounds[1]))

    def quantize(self, real: FloatArray, rounding: Rounding = Rounding.HALF_EVEN) -> IntArray:
        """Quantize real values."""
        with np.errstate(over="ignore"):
            ratio = np.clip(np.asarray(real, dtype=np.float64) / self.scale, -(2.0**31), 2.0**31)
        match rounding:
            case Rounding.HALF_EVEN:
                rounded = np.rint(ratio)
            case Rounding.HALF_UP | Rounding.TFLITE:
                rounded = np.floor(ratio + 0.5)
            case Rounding.FLOOR:
                rounded = np.floor(ratio)
        integers = rounded.astype(np.int64) + self.type.zero_point
        return np.asarray(np.clip(integers, self.low, self.high))

    def quantize_float32(self, real: NDArray[np.float32]) -> IntArray:
        """Quantize in float32, with the operations in the order of the model's own quantizer."""
        zero, ratio = self.type.zero_point, real / np.float32(self.scale)
        rounded = resolve_rounding_mode(self.rounding)
        if self.after_zero_point:
            integers = rounded(ratio + np.float32(zero))
        else:
            integers = rounded(ratio).astype(np.float64) + zero
        return np.asarray(np.clip(integers, self.low, self.high).astype(np.int64))

    def narrow_to(self, low: float, high: float) -> "Quantizer":
        """Use a narrower type if the bounds of real values are exactly its range."""
        rounding = self.contract_rounding(positive=low >= 0)
        if rounding is None:
            return self
        first, last = self.quantize(np.array([low, high]), rounding).tolist()
        for bits in range(2 if self.type.signed else 1, self.type.bits):
            if first <= self.type.zero_point <= last:
                narrower = replace(self.type, bits=bits, zero_point=0)
                if (narrower.low, narrower.high) == (first, last):
                    return replace(self, narrow=False, type=replace(self.type, bits=bits))
        return self

    def contract_rounding(self, *, positive: bool) -> Rounding | None:
        """Find the contract's rounding that does the same; None if none does.

        Parameters
        ----------
        positive : bool
            Whether no value is less than 0.
        """
        if positive and self.rounding in NONNEGATIVE_ROUNDINGS:
            return NONNEGATIVE_ROUNDINGS[self.rounding]
        return ROUNDINGS.get(self.rounding)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputStep:
    """One arithmetic operation on the images, such as a part of their normalization.

    Attributes
    ----------
    op : str
        Add, Sub, Mul or Div.
    values : array of float64
        Broadcasts to images in the network's layout.
    """

    op: str
    values: FloatArray

    def apply(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute it in float32, as programs that run the model do."""
        result = OPERATIONS[self.op](images, self.values.astype(np.float32))
        return np.asarray(result, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputQuantizer:
    """Turns images in the file's layout into integers of the network's input.

    Attributes
    ----------
    shape : tuple of int
        Shape of one image of the file.
    places : array of int64, of the network's input shape
        Index of each element in the flattened image; -1 for padding, which starts from 0.
    steps : tuple of InputStep
        Arithmetic before the quantizer.
    low, high : float
        Bounds that values are clipped to after `steps`.
    quantizer : Quantizer
    integer : ActType or None
        Type of images that are integers, which are only clipped and moved; None for real images.
    """

    shape: Shape
    places: IntArray
    steps: tuple[InputStep, ...]
    low: float
    high: float
    quantizer: Quantizer
    integer: ActType | None

    @property
    def scale(self) -> FloatArray:
        """Factor of images before they are quantized."""
        return np.asarray(self._after(np.ones(1)) - self.offset)

    @property
    def offset(self) -> FloatArray:
        """Constant that is added after :attr:`scale`."""
        return self._after(np.zeros(1))

    @property
    def moves(self) -> bool:
        """Whether the network orders or shapes elements differently from the file."""
        given = np.arange(prod(self.shape)).reshape(self.shape)
        return not np.array_equal(self.places, given)

    def quantize(self, images: ArrayLike) -> IntArray:
        """Quantize images, shape (N, *shape), to integers of the network's input.

        Raises
        ------
        ExchangeError
            If images have another shape, or integers do not fit the type that the file reads.
        """
        given = np.asarray(images)
        if given.shape[1:] != self.shape or given.ndim != 1 + len(self.shape):
            wanted = ", ".join(map(str, self.shape))
            raise ExchangeError.of(
                f"images must have shape (N, {wanted}), as the file's input, got {given.shape}"
            )
        if self.integer is not None:
            return self._arrange_integers(given, self.integer)
        real = self._arrange(given.astype(np.float32))
        for step in self.steps:
            real = step.apply(real)
        clipped = real.clip(np.float32(self.low), np.float32(self.high))
        return self.quantizer.quantize_float32(clipped)

    def is_same(self, other: "InputQuantizer") -> bool:
        """Whether another gives the same integers."""
        mine, theirs = (
            (source.quantizer, source.low, source.high, source.shape, source.integer)
            for source in (self, other)
        )
        steps = [step.op for step in self.steps] == [step.op for step in other.steps] and all(
            np.array_equal(a.values, b.values) for a, b in zip(self.steps, other.steps, strict=True)
        )
        return mine == theirs and steps and np.array_equal(self.places, other.places)

    def _after(self, start: FloatArray) -> FloatArray:
        for step in self.steps:
            start = np.asarray(OPERATIONS[step.op](start, step.values))
        return start

    def _arrange(self, images: NDArray[Any]) -> NDArray[Any]:
        """Bring elements into the network's order."""
        flat = images.reshape(len(images), -1)
        padding = np.zeros((len(images), 1), dtype=flat.dtype)
        return np.asarray(np.concatenate([flat, padding], axis=1)[:, self.places])

    def _arrange_integers(self, images: NDArray[Any], act: ActType) -> IntArray:
        """Move and clip integers; real images are quantized first."""
        if images.dtype.kind not in "iu":
            images = self.quantizer.quantize_float32(images.astype(np.float32))
        elif images.size and (images.min() < act.low or images.max() > act.high):
            raise ExchangeError.of(
                f"images must lie in {act.low}..{act.high}, as the file's input is {act}, "
                f"got {images.min()}..{images.max()}; float images are quantized"
            )
        moved = self._arrange(images.astype(np.int64))
        for step in self.steps:
            moved = moved + step.values.astype(np.int64)
        return np.asarray(np.clip(moved, self.quantizer.low, self.quantizer.high))
