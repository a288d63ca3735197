"""Operators whose engines are synthesized alone: a layer for each, at any size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from systolith.network import (
    ActType,
    Add,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    IntArray,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    Pattern,
    Requantize,
    Rounding,
    SelectChannels,
    SpaceToDepth,
    Table,
    Upsample,
)

__all__ = ["MOVING", "OPERATORS", "Size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Size of an operator's input.

    Parameters
    ----------
    channels, pixels, bits : int
        Channels, height and width, and bits of a value.
    pace : int, optional
        Cycles for each pixel of the input; as few as possible by default.
    """

    channels: int = 16
    pixels: int = 16
    bits: int = 8
    pace: int | None = None

    @property
    def act(self) -> ActType:
        """Type of the values."""
        return ActType(bits=self.bits, signed=True)


Make = Callable[[Size], Layer]

SCALES = (77, 101)
"""Multipliers of an addition."""


def _scaling() -> Requantize:
    return Requantize(multiplier=np.array([19661]), shift=np.array([20]))


def _scaling_twice() -> Requantize:
    """As TFLite scales: multipliers of 31 bits, two roundings."""
    return Requantize(
        multiplier=np.array([1288490189]), shift=np.array([36]), rounding=Rounding.TFLITE
    )


def _sloped(channels: int) -> Requantize:
    negative = np.random.default_rng(0).integers(1000, 9000, channels)
    return replace(_scaling(), negative=negative)


def _counting(size: Size, most: int = 20000) -> Requantize:
    """Thresholds for each channel, up to `most`: as many as a value of these bits can count."""
    rng, levels = np.random.default_rng(0), (1 << size.bits) - 1
    thresholds = np.sort(rng.integers(-most, most, (size.channels, levels)))
    return Requantize(multiplier=np.array([1]), shift=np.array([0]), thresholds=thresholds)


def _weights(*shape: int) -> IntArray:
    return np.random.default_rng(0).integers(-100, 101, shape)


def _conv(size: Size, **changes: Any) -> Conv2d:
    channels = size.channels
    conv = Conv2d(
        name="op",
        input="input",
        weight=_weights(channels, channels // changes.get("groups", 1), 3, 3),
        bias=np.zeros(channels, int),
        requantize=_scaling(),
        output=size.act,
        padding=(1, 1, 1, 1),
    )
    return replace(conv, **changes)


def _pruned(size: Size) -> Conv2d:
    conv, pattern = _conv(size), Pattern(select=KOutOfN(1, 4))
    mask = pattern.best_mask(np.abs(conv.weight))
    return replace(conv, weight=conv.weight * mask, mask=mask, pattern=pattern)


def _linear(size: Size) -> Linear:
    return Linear(
        name="op",
        input="input",
        weight=_weights(size.channels, size.channels),
        bias=np.zeros(size.channels, int),
        requantize=_scaling(),
        output=size.act,
    )


def _add(size: Size) -> Add:
    return Add(
        name="op",
        inputs=("input", "input"),
        multipliers=SCALES,
        requantize=_scaling(),
        output=size.act,
    )


def _add_tflite(size: Size) -> Add:
    return replace(
        _add(size),
        multipliers=(1073741825, 1610612737),
        left_shift=20,
        shifts=(31, 31),
        requantize=_scaling_twice(),
    )


def _multiply(size: Size) -> Multiply:
    inputs = ("input", "input")
    return Multiply(name="op", inputs=inputs, requantize=_scaling(), output=size.act)


def _average(size: Size) -> AvgPool2d:
    return AvgPool2d(
        name="op",
        input="input",
        requantize=_scaling(),
        output=size.act,
        kernel_size=(2, 2),
        stride=(2, 2),
    )


def _average_inside(size: Size) -> AvgPool2d:
    window = {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1, 1, 1)}
    return replace(_average(size), **window, counted=(0, 0, 0, 0))


def _table(size: Size) -> Table:
    codes = np.arange(size.act.low, size.act.high + 1)
    values = np.rint(size.act.high * np.tanh(2 * codes / size.act.high)).astype(int)
    return Table(name="op", input="input", values=values, output=size.act)


def _shuffle(size: Size) -> SelectChannels:
    order = np.arange(size.channels).reshape(2, -1).T.ravel()
    return SelectChannels(name="op", input="input", channels=tuple(order.tolist()))


WEIGHING: Mapping[str, Make] = {
    "Conv2d, dense 3x3": _conv,
    "Conv2d, 1-of-4 3x3": _pruned,
    "Conv2d, depthwise 3x3": lambda size: _conv(size, groups=size.channels),
    "Conv2d, dense 3x3, dilation 2": lambda size: _conv(
        size, dilation=(2, 2), padding=(2, 2, 2, 2)
    ),
    "Conv2d, slopes": lambda size: _conv(size, requantize=_sloped(size.channels)),
    "Conv2d, thresholds": lambda size: _conv(size, requantize=_counting(size)),
    "Conv2d, TFLite's scales": lambda size: _conv(size, requantize=_scaling_twice()),
    "Linear": _linear,
    "Add": _add,
    "Add, slopes": lambda size: replace(_add(size), requantize=_sloped(size.channels)),
    "Add, thresholds": lambda size: replace(
        _add(size), requantize=_counting(size, -sum(SCALES) * size.act.low)
    ),
    "Add, TFLite's scales": _add_tflite,
    "Multiply": _multiply,
    "Multiply, TFLite's scales": lambda size: replace(_multiply(size), requantize=_scaling_twice()),
    "AvgPool2d 2x2": _average,
    "AvgPool2d 3x3, area inside": _average_inside,
}
MOVING: Mapping[str, Make] = {
    "ArgMax": lambda size: ArgMax(name="op", input="input", classes=size.channels),
    "MaxPool2d 2x2": lambda size: MaxPool2d(
        name="op", input="input", kernel_size=(2, 2), stride=(2, 2)
    ),
    "Table": _table,
    "Concat": lambda size: Concat(name="op", inputs=("input", "input")),
    "SelectChannels, half": lambda size: SelectChannels(
        name="op", input="input", channels=tuple(range(size.channels // 2))
    ),
    "SelectChannels, shuffle": _shuffle,
    "DepthToSpace 2": lambda size: DepthToSpace(name="op", input="input", block=2),
    "SpaceToDepth 2": lambda size: SpaceToDepth(name="op", input="input", block=2),
    "Pad2d 1": lambda size: Pad2d(name="op", input="input", padding=(1, 1, 1, 1)),
    "Pad2d, crop 1": lambda size: Pad2d(name="op", input="input", padding=(-1, -1, -1, -1)),
    "Upsample 2": lambda size: Upsample(name="op", input="input", factors=(2, 2)),
}
"""Operators that compute nothing with two numbers; they take no multiplier."""
OPERATORS = {**WEIGHING, **MOVING}
