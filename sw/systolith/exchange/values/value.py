"""The kinds of values that a tensor of a float graph can have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange.values.quantizer import FloatArray, InputStep, Quantizer
from systolith.network import (
    ActType,
    IntArray,
    Layer,
    Padding,
    Requantize,
    Requantized,
    Shape,
    Tensor,
)

__all__ = [
    "Absent",
    "AppendLayer",
    "Constant",
    "FloatArray",
    "Integers",
    "Joined",
    "LoweredImage",
    "MakeLayer",
    "ModelInput",
    "Move",
    "Parts",
    "PendingFunction",
    "PendingLayer",
    "PendingTable",
    "QuantizedActivation",
    "QuantizedConstant",
    "Term",
    "Unknown",
    "Value",
]

MakeLayer = Callable[[str, IntArray, Requantize, ActType], Requantized]
"""Makes a layer from (name, integer bias, requantization, output type)."""
AppendLayer = Callable[[str, str], Layer]
"""Makes a layer that keeps its input's type, from (name, name of its input)."""
Move = Callable[[NDArray[Any]], NDArray[Any]]
"""Reorders or reshapes an array that has no batch axis."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Absent:
    """An optional input that is left out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unknown:
    """The result of a node with a problem. Nodes that read it report no further problem."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelInput:
    """The model's input, and the steps that the host computes before the network reads it.

    Attributes
    ----------
    image : tuple of int
        Shape of one image of the file.
    places : array of int64, of this tensor's shape
        Index of each element in the flattened image; -1 for padding, which starts from 0.
    integer : ActType or None
        Type of images that are integers; None if they are real numbers.
    steps : tuple of InputStep
        Arithmetic with constants.
    low, high : float
        Bounds that values are clipped to after `steps`.
    quantizer : Quantizer or None
        Quantizer after that; None if there is none so far.
    """

    image: Shape
    places: IntArray
    integer: ActType | None = None
    steps: tuple[InputStep, ...] = ()
    low: float = -inf
    high: float = inf
    quantizer: Quantizer | None = None

    def move(self, by: Move) -> "ModelInput":
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
    """Numbers that are stored in the model."""

    values: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedConstant:
    """Integers that stand for ``integers * scale``: weights and biases.

    Attributes
    ----------
    integers : array of int64
        Without the zero point.
    scale : array of float64
        Same number of axes as `integers`, each of the same size or 1.
    bits : int
        Bit width of the integers as weights.
    """

    integers: IntArray
    scale: FloatArray
    bits: int

    @property
    def real(self) -> FloatArray:
        """Their real values."""
        return np.asarray(self.integers * self.scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedActivation:
    """A layer's result: integers `q` that stand for ``scale * (q - zero_point) + origin``.

    Attributes
    ----------
    layer : str
        Name of the layer, or of the network's input.
    tensor : Tensor
        Shape and type of the layer's output.
    scale : float
    origin : float
        Not 0 only for -1 and +1 stored in one bit, and for counts with a constant added.
    counts : bool
        Whether it counts thresholds. An added constant then moves `origin` and needs no layer.
    padding : tuple of int
        Zeros that the next layer adds around it: top, bottom, left, right.
    reals : array of float32, shape (2**bits,), or None
        Real values of all integers of the type, if the model computes them from others.
    places : array of int64 or None
        Index of each element of the file's tensor in the flattened `tensor`, in the file's shape;
        None if the file orders elements as the layer does.
    """

    layer: str
    tensor: Tensor
    scale: float
    padding: Padding = (0, 0, 0, 0)
    places: IntArray | None = None
    origin: float = 0.0
    counts: bool = False
    reals: NDArray[np.float32] | None = None

    @property
    def real_values(self) -> NDArray[np.float32]:
        """Real value of each integer of the type, ascending, as DequantizeLinear computes it."""
        if self.reals is not None:
            return self.reals
        act = self.tensor.type
        steps = np.arange(act.low - act.zero_point, act.high - act.zero_point + 1)
        reals = steps.astype(np.float32) * np.float32(self.scale)
        return np.asarray(reals + np.float32(self.origin) if self.origin else reals)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PendingTable:
    """A function of one activation that is not quantized yet.

    Attributes
    ----------
    name : str
        Name of its node.
    of : QuantizedActivation
    reals : array of float32, shape (2**bits,)
        Real result for each integer of the activation's type, ascending.
    """

    name: str
    of: QuantizedActivation
    reals: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PendingFunction:
    """A function that never falls, of a result that is not quantized, to be quantized itself.

    Attributes
    ----------
    name : str
        Name of its node.
    of : PendingLayer
    function : callable
        Computes the node, in float32.
    """

    name: str
    of: "PendingLayer"
    function: Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Integers:
    """The integers themselves, between a quantizer and a dequantizer.

    Attributes
    ----------
    of : ModelInput, QuantizedActivation, PendingLayer or PendingFunction
        The value that is quantized.
    quantizer : Quantizer
    node : str
        The node that quantizes, for messages.
    """

    of: "ModelInput | QuantizedActivation | PendingLayer | PendingFunction"
    quantizer: Quantizer
    node: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Term:
    """One operand of an addition.

    Attributes
    ----------
    scale : float
        Real value of one unit of the activation.
    multiplier : int
        Integer multiplier in the addition.
    type : ActType
    """

    scale: float
    multiplier: int
    type: ActType

    @property
    def centred(self) -> IntArray:
        """All values of the type, minus the zero point."""
        zero = self.type.zero_point
        return np.arange(self.type.low - zero, self.type.high - zero + 1, dtype=np.int64)

    def error(self, unit: float) -> float:
        """Greatest error of the term if one step of the sum is `unit`."""
        off = abs(Fraction(self.scale) - Fraction(unit) * self.multiplier)
        zero = self.type.zero_point
        return float(off) * max(zero - self.type.low, self.type.high - zero)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PendingLayer:
    """A layer whose result is not quantized yet.

    Its value is ``clip(scale * acc + offset, low, high)``, passed through the layers of `then`.
    With `slope`, values below 0 are multiplied by it, and `raised` is added, before the clip.

    Attributes
    ----------
    name : str
        Name of its node.
    shape, result : Shape
        Before and after `then`.
    make : callable
        Makes the layer.
    sum_range : callable
        Gives the least and greatest accumulator for an integer bias, shape (channels,).
    scale, offset : array of float64, shape (channels,)
    biased : bool
        Whether the layer can add an offset.
    low, high : float
    step : float or None
        Step that values were rounded down to multiples of; None if they were not.
    error : float
        Greatest error of ``scale * acc`` against the model; 0 if it is exact.
    terms : tuple of Term
        Operands of an addition whose `error` is not 0.
    then : tuple of callable
        Layers without arithmetic that follow: pools, flattening.
    slope : array of float64, shape (channels,) or (1,), or None
    raised : float
    padding, places
        As in :class:`QuantizedActivation`.
    reordered : bool
        Whether `then` moves channels, so that those of `scale` are in another order.
    """

    name: str
    shape: Shape
    result: Shape
    make: MakeLayer
    sum_range: Callable[[IntArray], tuple[int, int]]
    scale: FloatArray
    offset: FloatArray
    biased: bool
    low: float = -inf
    high: float = inf
    step: float | None = None
    error: float = 0.0
    terms: tuple[Term, ...] = ()
    then: tuple[AppendLayer, ...] = field(default=())
    slope: FloatArray | None = None
    raised: float = 0.0
    reordered: bool = False
    padding: Padding = (0, 0, 0, 0)
    places: IntArray | None = None

    @property
    def clipped(self) -> bool:
        """Whether values are clipped, or multiplied by a slope."""
        return self.slope is not None or self.low > -inf or self.high < inf

    def scale_by(self, factor: FloatArray) -> "PendingLayer":
        """Multiply the value by positive factors, shape (channels,) or (1,)."""
        # With a bound other than 0 or infinity, all channels have one factor.
        by = float(factor.flat[0])
        return replace(
            self,
            scale=self.scale * factor,
            offset=self.offset * factor,
            raised=self.raised * by,
            low=self.low * by if self.low and isfinite(self.low) else self.low,
            high=self.high * by if self.high and isfinite(self.high) else self.high,
            step=None if self.step is None else self.step * by,
            error=self.error * float(factor.max()),
            terms=tuple(replace(term, scale=term.scale * by) for term in self.terms)
            if factor.size == 1
            else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joined:
    """A concatenation of channels of several scales, which a quantizer has to follow.

    Attributes
    ----------
    parts : tuple of Value
        What is joined, in order.
    """

    parts: "tuple[Value, ...]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoweredImage:
    """The windows of an image (H, W, C), which a product with weights has to follow.

    Attributes
    ----------
    node : str
        Name of the node that made it.
    pads : tuple of int
        Pixels of the real value `fill`: top, left, bottom, right.
    """

    node: str
    of: "Value"
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: Padding = (0, 0, 0, 0)
    fill: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """The values of a node with several outputs."""

    values: "tuple[Value, ...]"


Value = (
    Absent
    | Unknown
    | ModelInput
    | Constant
    | QuantizedConstant
    | QuantizedActivation
    | Integers
    | PendingLayer
    | PendingTable
    | PendingFunction
    | Joined
    | LoweredImage
    | Parts
)
