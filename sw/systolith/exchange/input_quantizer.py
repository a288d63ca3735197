"""What the host does to images before the network reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qonnx.custom_op.general.intquant import resolve_rounding_mode

from systolith.exchange.errors import ExchangeError
from systolith.exchange.quantizer import FloatArray, Quantizer
from systolith.network import ActType, IntArray, Shape

__all__ = ["InputQuantizer", "Step"]

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
