"""Functions that never fall, behind results that are not quantized: counts of thresholds."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.counting import make_counting
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import compute_function
from systolith.exchange.values.open_types import choose_whole_quantizer
from systolith.exchange.values.quantizer import FloatArray, Quantizer
from systolith.exchange.values.value import (
    PendingFunction,
    PendingLayer,
    QuantizedActivation,
    Value,
)
from systolith.network import MAX_TABLE_BITS, ActType, Table

__all__ = ["RISING", "count_function", "rising_function"]

RISING = {
    *("Atan", "Celu", "Elu", "Erf", "HardSigmoid", "Selu", "Sigmoid", "Softplus", "Softsign"),
    "Tanh",
}
"""Operators that never fall, with their usual attributes."""
MOST = 1e30
"""A threshold that no sum reaches."""
FALL = 1e-5
"""Greatest error of a function in float32."""


def rising_function(node: Node, values: Sequence[Value], draft: Draft) -> PendingFunction | None:
    """Keep a function of sums with too many values for a table; None if it is something else."""
    x = values[0]
    if node.op not in RISING or not isinstance(x, PendingLayer) or draft.lenient:
        return None
    if x.slope is not None or x.step is not None or x.then or any(x.padding) or x.error:
        return None
    whole = choose_whole_quantizer(x)
    if whole is not None and whole.type.bits <= MAX_TABLE_BITS:
        return None
    tried = np.linspace(-16, 16, 1 << 12, dtype=np.float32)
    function = partial(compute_function, node, draft=draft)
    if (np.diff(function([tried])) < -FALL).any():
        return None
    return PendingFunction(name=node.name, of=x, function=function)


def count_function(x: PendingFunction, quantizer: Quantizer, draft: Draft) -> QuantizedActivation:
    """Make a layer that counts the integers of a quantizer which a function reaches.

    Raises
    ------
    ExchangeError
        If the quantizer has more than 8 bits.
    """
    key = (x, quantizer)
    if key in draft.cache:
        return draft.cache[key]
    low, levels = quantizer.low, quantizer.high - quantizer.low
    if levels.bit_length() > MAX_TABLE_BITS:
        raise ExchangeError.of(
            f"makes integers of {levels.bit_length()} bits of a function of sums; up to "
            f"{MAX_TABLE_BITS} bits are supported"
        )
    zero = quantizer.type.zero_point - low
    made = make_counting(x.of, _thresholds(x, quantizer), zero, draft)
    draft.cache[key] = counted = _scaled(made, quantizer.scale)
    return counted


def count_from(act: ActType, x: QuantizedActivation, draft: Draft) -> QuantizedActivation:
    """Give the integers of a file's type, by a table, if counts have another zero point."""
    moved = act.zero_point - x.tensor.type.zero_point
    if not moved or x.tensor.type.bits > MAX_TABLE_BITS:
        return x
    counts = np.arange(x.tensor.type.low, x.tensor.type.high + 1)
    values = np.clip(counts + moved, act.low, act.high)
    table = Table(name="table", input=x.layer, values=values, output=act)
    name = draft.add_layer(f"{x.layer}_integers", table)
    return replace(x, layer=name, tensor=replace(x.tensor, type=act))


def _scaled(counts: QuantizedActivation, scale: float) -> QuantizedActivation:
    return QuantizedActivation(
        layer=counts.layer, tensor=counts.tensor, scale=scale, places=counts.places
    )


def _thresholds(x: PendingFunction, quantizer: Quantizer) -> FloatArray:
    """Find thresholds of sums, shape (channels, levels), between which integers change.

    They lie halfway between the last sum whose result is below an integer, and the first one whose
    result reaches it, both computed in float32.
    """
    pending, levels = x.of, np.arange(quantizer.low + 1, quantizer.high + 1)
    channels = pending.shape[0]
    scale, offset = (
        np.broadcast_to(part, (channels,))[:, None] for part in (pending.scale, pending.offset)
    )
    low, high = pending.sum_range(np.zeros(channels, dtype=np.int64))
    least = np.full((channels, levels.size), low)
    most = np.full((channels, levels.size), high + 1)
    while (least < most).any():
        middle = (least + most) // 2
        real = np.clip(middle * scale + offset, pending.low, pending.high).astype(np.float32)
        results = np.nan_to_num(x.function([real.reshape(-1)])).reshape(middle.shape)
        reached = quantizer.quantize_float32(results) >= levels
        least, most = (
            np.where(reached | (least >= most), least, middle + 1),
            np.where(reached & (least < most), middle, most),
        )
    halfway = (most - 0.5) * scale + offset
    # A channel without weights has one result: its thresholds are all reached, or none.
    never = (most > high) | (scale == 0)
    return np.asarray(np.where(most == low, -MOST, np.where(never, MOST, halfway)))
