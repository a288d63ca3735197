"""Quantizers of float graphs and of their images, and the integers that they give."""

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
    "OF_POSITIVE",
    "ROUNDINGS",
    "FloatArray",
    "InputQuantizer",
    "Quantizer",
    "Step",
]

FloatArray = NDArray[np.float64]

HALF_TO_PLUS_INFINITY = "half to plus infinity"
"""Made by a quantizer that drops fractions, of values that are half a unit more."""

ROUNDINGS = {
    HALF_TO_PLUS_INFINITY: Rounding.HALF_UP,
    "ROUND": Rounding.HALF_EVEN,
    "HALF_EVEN": Rounding.HALF_EVEN,
    "FLOOR": Rounding.FLOOR,
}
OF_POSITIVE = {"HALF_UP": Rounding.HALF_UP, "DOWN": Rounding.FLOOR}
"""These round by magnitude, so they are the contract's only where nothing is negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """From real values to integers of a type: ``clip(round(x / scale) + zero_point)``.

    Attributes
    ----------
    scale : float
    type : ActType
    rounding : str
        As QONNX calls it; ONNX's own quantizers round ties to even.
    narrow : bool
        Without the least value of a signed type, or the greatest of an unsigned one.
    after_zero_point : bool
        Whether the zero point is added before it is rounded, as QONNX does; ONNX adds it after.
    bounds : pair of int
        What the integers are cut to afterwards, besides their type.
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

    def of(self, real: FloatArray, rounding: Rounding = Rounding.HALF_EVEN) -> IntArray:
        """Quantize real values."""
        with np.errstate(over="ignore"):
            ratio = np.clip(np.asarray(real, dtype=np.float64) / self.scale, -(2.0**31), 2.0**31)
        match rounding:
            case Rounding.HALF_EVEN:
                rounded = np.rint(ratio)
            case Rounding.HALF_UP:
                rounded = np.floor(ratio + 0.5)
            case Rounding.FLOOR:
                rounded = np.floor(ratio)
        integers = rounded.astype(np.int64) + self.type.zero_point
        return np.asarray(np.clip(integers, self.low, self.high))

    def within(self, low: float, high: float) -> "Quantizer":
        """Use a narrower type, where the bounds of real values are just its range."""
        first, last = (int(each) for each in self.of(np.array([low, high])))
        for bits in range(2 if self.type.signed else 1, self.type.bits):
            if first <= self.type.zero_point <= last:
                narrower = replace(self.type, bits=bits, zero_point=0)
                if (narrower.low, narrower.high) == (first, last):
                    return replace(self, type=replace(self.type, bits=bits))
        return self

    def mode(self, *, positive: bool) -> Rounding | None:
        """The contract's rounding that does the same; None if none does.

        Parameters
        ----------
        positive : bool
            Whether nothing that is rounded is less than 0.
        """
        if positive and self.rounding in OF_POSITIVE:
            return OF_POSITIVE[self.rounding]
        return ROUNDINGS.get(self.rounding)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Arithmetic with constants, such as normalization.

    Attributes
    ----------
    op : str
        Add, Sub, Mul or Div.
    values : array of float64
        That images of the network's layout can be combined with.
    """

    op: str
    values: FloatArray

    def of(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute it in float32, as programs that run the model do."""
        found = OPERATIONS[self.op](images, self.values.astype(np.float32))
        return np.asarray(found, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputQuantizer:
    """From images as the file takes them to integers of the network's input.

    Attributes
    ----------
    shape : tuple of int
        Of one image of the file.
    places : array of int64, of the network's input shape
        Which element of the flattened image goes where; -1: none, what `steps` add to 0.
    steps : tuple of Step
        What the model does to images first.
    low, high : float
        What it cuts off then.
    quantizer : Quantizer
    integer : ActType or None
        Where images are integers already, and are only cut off and moved: their type.
    """

    shape: Shape
    places: IntArray
    steps: tuple[Step, ...]
    low: float
    high: float
    quantizer: Quantizer
    integer: ActType | None

    @property
    def scale(self) -> FloatArray:
        """What images are multiplied by before they are quantized."""
        return np.asarray(self._after(np.ones(1)) - self.offset)

    @property
    def offset(self) -> FloatArray:
        """What is added to them then."""
        return self._after(np.zeros(1))

    @property
    def moves(self) -> bool:
        """Whether the network has elements in other places, or another shape, than the file."""
        given = np.arange(prod(self.shape)).reshape(self.shape)
        return not np.array_equal(self.places, given)

    def of(self, images: ArrayLike) -> IntArray:
        """Quantize images, shape (N, *shape), to integers of the network's input.

        Raises
        ------
        ExchangeError
            If images have another shape, or integers do not fit the type that the file reads.
        """
        given = np.asarray(images)
        if given.shape[1:] != self.shape or given.ndim != 1 + len(self.shape):
            wanted = ", ".join(map(str, self.shape))
            raise ExchangeError(
                [f"images must have shape (N, {wanted}), as the file's input, got {given.shape}"]
            )
        if self.integer is not None:
            return self._of_integers(given, self.integer)
        real = self._arranged(given.astype(np.float32))
        for step in self.steps:
            real = step.of(real)
        return self._quantized(real.clip(np.float32(self.low), np.float32(self.high)))

    def same(self, other: "InputQuantizer") -> bool:
        """Whether another gives the same integers."""
        mine, theirs = (
            (each.quantizer, each.low, each.high, each.shape, each.integer)
            for each in (self, other)
        )
        steps = [step.op for step in self.steps] == [step.op for step in other.steps] and all(
            np.array_equal(a.values, b.values) for a, b in zip(self.steps, other.steps, strict=True)
        )
        return mine == theirs and steps and np.array_equal(self.places, other.places)

    def _after(self, start: FloatArray) -> FloatArray:
        for step in self.steps:
            start = np.asarray(OPERATIONS[step.op](start, step.values))
        return start

    def _arranged(self, images: NDArray[Any]) -> NDArray[Any]:
        """Move elements to where the network has them."""
        flat = images.reshape(len(images), -1)
        nothing = np.zeros((len(images), 1), dtype=flat.dtype)
        return np.asarray(np.concatenate([flat, nothing], axis=1)[:, self.places])

    def _quantized(self, real: NDArray[np.float32]) -> IntArray:
        """In float32, and in the order that the model's own quantizer works in."""
        quantizer, zero = self.quantizer, self.quantizer.type.zero_point
        ratio = real / np.float32(quantizer.scale)
        rounded = resolve_rounding_mode(quantizer.rounding)
        if quantizer.after_zero_point:
            integers = rounded(ratio + np.float32(zero))
        else:
            integers = rounded(ratio).astype(np.float64) + zero
        return np.asarray(np.clip(integers, quantizer.low, quantizer.high).astype(np.int64))

    def _of_integers(self, images: NDArray[Any], act: ActType) -> IntArray:
        """Take integers as they are; quantize floats first."""
        if images.dtype.kind not in "iu":
            images = self._quantized(images.astype(np.float32))
        elif images.size and (images.min() < act.low or images.max() > act.high):
            raise ExchangeError(
                [
                    (
                        f"images must lie in {act.low}..{act.high}, as the file's input is "
                        f"{act}, got "
                        f"{images.min()}..{images.max()}; float images are quantized"
                    )
                ]
            )
        moved = self._arranged(images.astype(np.int64))
        for step in self.steps:
            moved = moved + step.values.astype(np.int64)
        return np.asarray(np.clip(moved, self.quantizer.low, self.quantizer.high))
