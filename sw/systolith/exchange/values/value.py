"""What a tensor of a float graph stands for, once its quantizers are read as integers."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange.values.quantizer import FloatArray, Quantizer, Step
from systolith.network import (
    ActType,
    IntArray,
    Layer,
    Padding,
    Requantize,
    Shape,
    Tensor,
)

__all__ = [
    "Absent",
    "Activation",
    "Constant",
    "Emit",
    "FloatArray",
    "Follow",
    "Images",
    "Integers",
    "Move",
    "Pending",
    "QuantizedConstant",
    "Term",
    "Unknown",
    "Value",
]

Emit = Callable[[str, IntArray, Requantize, ActType], Layer]
"""Makes a layer of its name, its integer bias, its requantization and its output type."""
Follow = Callable[[str, str], Layer]
"""Makes a layer that keeps types, of its name and that of the layer it reads."""
Move = Callable[[NDArray[Any]], NDArray[Any]]
"""Moves the elements of an array that has no axis of the batch."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Absent:
    """An optional input that is left out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unknown:
    """Something that a problem was reported about; what reads it reports nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """The model's input before the network reads it: what the host has to do.

    Attributes
    ----------
    image : tuple of int
        Shape of one image of the file.
    places : array of int64, of this tensor's shape
        Which element of the flattened image each is; -1: none, what `steps` add to 0.
    integer : ActType or None
        Where images come as integers.
    steps : tuple of Step
        Arithmetic with constants.
    low, high : float
        What is cut off then.
    quantizer : Quantizer or None
        What quantizes it then; None: nothing did so far.
    """

    image: Shape
    places: IntArray
    integer: ActType | None = None
    steps: tuple[Step, ...] = ()
    low: float = -inf
    high: float = inf
    quantizer: Quantizer | None = None

    def moved(self, by: Move) -> "Images":
        """Move elements, and the constants of `steps` along with them."""
        steps = tuple(
            step
            if step.values.size == 1
            else replace(step, values=by(np.broadcast_to(step.values, self.places.shape)))
            for step in self.steps
        )
        return replace(self, places=by(self.places), steps=steps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constant:
    """Numbers that the model was saved with."""

    values: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedConstant:
    """Integers that stand for ``integers * scale``: weights and biases.

    Attributes
    ----------
    integers : array of int64
        The zero point is taken off already.
    scale : array of float64
        Of as many axes as `integers`, each of its size or 1.
    bits : int
        Of the integers, as weights.
    """

    integers: IntArray
    scale: FloatArray
    bits: int

    @property
    def real(self) -> FloatArray:
        """What they stand for."""
        return np.asarray(self.integers * self.scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activation:
    """What a layer gives: integers `q` that stand for ``scale * (q - zero_point) + origin``.

    Attributes
    ----------
    layer : str
        Name of the layer of the contract, or of the network's input.
    tensor : Tensor
        Its shape and type.
    scale : float
    origin : float
        0, but for -1 and +1 that are stored in one bit, and counts with a constant added.
    counts : bool
        Whether it counts thresholds, so that a constant moves `origin`, and needs no layer.
    padding : tuple of int
        Zeros around it that the next layer has to add: top, bottom, left, right.
    places : array of int64 or None
        Where the file orders elements in another way than the layer: of the file's shape, which
        element of the flattened `tensor` each is. None: in the same way.
    """

    layer: str
    tensor: Tensor
    scale: float
    padding: Padding = (0, 0, 0, 0)
    places: IntArray | None = None
    origin: float = 0.0
    counts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Integers:
    """The integers themselves, between a quantizer and what dequantizes them.

    Attributes
    ----------
    of : Images, Activation or Pending
        What they stand for, before it is quantized.
    quantizer : Quantizer
        What gives them.
    node : str
        The node that quantizes.
    """

    of: "Images | Activation | Pending"
    quantizer: Quantizer
    node: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Term:
    """One of the activations that an addition adds.

    Attributes
    ----------
    scale : float
        Of the activation.
    multiplier : int
        That stands for it.
    type : ActType
    """

    scale: float
    multiplier: int
    type: ActType

    @property
    def centred(self) -> IntArray:
        """All values, less the zero point."""
        zero = self.type.zero_point
        return np.arange(self.type.low - zero, self.type.high - zero + 1, dtype=np.int64)

    def error(self, unit: float) -> float:
        """How far the term is off at most, if a step of the sum is `unit`."""
        off = abs(Fraction(self.scale) - Fraction(unit) * self.multiplier)
        zero = self.type.zero_point
        return float(off) * max(zero - self.type.low, self.type.high - zero)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pending:
    """A layer whose result waits to be quantized.

    Its value is ``clip(scale * acc + offset, low, high)``, and then what `then` makes of it.

    Attributes
    ----------
    name : str
        Of the node that it comes from.
    shape : Shape
        Before `then`.
    result : Shape
        After it.
    emit : callable
        Makes the layer.
    accumulated : callable
        Least and greatest accumulator for an integer bias, shape (channels,).
    scale, offset : array of float64, shape (channels,)
    biased : bool
        Whether the layer can add an offset.
    low, high : float
    step : float or None
        The value was rounded down to multiples of this.
    error : float
        How far ``scale * acc`` is off at most; 0 if it is what the model says.
    terms : tuple of Term
        What an addition adds up, where that is off.
    then : tuple of callable
        Layers without arithmetic that come after: pools, flattening.
    padding, places
        As of :class:`Activation`.
    """

    name: str
    shape: Shape
    result: Shape
    emit: Emit
    accumulated: Callable[[IntArray], tuple[int, int]]
    scale: FloatArray
    offset: FloatArray
    biased: bool
    low: float = -inf
    high: float = inf
    step: float | None = None
    error: float = 0.0
    terms: tuple[Term, ...] = ()
    then: tuple[Follow, ...] = field(default=())
    padding: Padding = (0, 0, 0, 0)
    places: IntArray | None = None

    @property
    def clipped(self) -> bool:
        """Whether anything is cut off."""
        return self.low > -inf or self.high < inf

    def scaled(self, factor: FloatArray) -> "Pending":
        """Multiply the value by positive factors, shape (channels,) or (1,)."""
        # A bound other than 0 or infinity is the same for all channels, and so is the factor then.
        by = float(factor.flat[0])
        return replace(
            self,
            scale=self.scale * factor,
            offset=self.offset * factor,
            low=self.low * by if self.low and isfinite(self.low) else self.low,
            high=self.high * by if self.high and isfinite(self.high) else self.high,
            step=None if self.step is None else self.step * by,
            error=self.error * float(factor.max()),
            terms=tuple(replace(term, scale=term.scale * by) for term in self.terms)
            if factor.size == 1
            else (),
        )


Value = Absent | Unknown | Images | Constant | QuantizedConstant | Activation | Integers | Pending
