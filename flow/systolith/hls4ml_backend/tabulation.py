"""Functions of one value as the tables or thresholds of the network."""

from dataclasses import dataclass

import numpy as np

from systolith.hls4ml_backend.form import Form, act_type
from systolith.hls4ml_backend.layers.functions import Lookup
from systolith.network import MAX_TABLE_BITS, ActType, IntArray, Requantize

__all__ = ["Tabulated", "tabulate"]

MAX_LEVELS = 255
"""Most thresholds of a function of a wide input: those of a result of 8 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulated:
    """A function of the integers of a type.

    Attributes
    ----------
    form : Form
        Range and fraction of its results.
    output : ActType
    values : array of int64, or None
        A result for each integer of the type; None if thresholds are counted.
    requantize : Requantize or None
        Thresholds; None if there are values.
    """

    form: Form
    output: ActType
    values: IntArray | None = None
    requantize: Requantize | None = None


def tabulate(step: Lookup, form: Form, act: ActType) -> Tabulated | str:
    """Evaluate a function for every integer of a type.

    Parameters
    ----------
    step : Lookup
    form : Form
        Range and fraction of the tensor, which has the type `act`.
    act : ActType

    Returns
    -------
    Tabulated, or the problem as a str
    """
    integers = np.arange(act.low, act.high + 1)
    results, fraction = step.apply(np.clip(integers, form.low, form.high), form.fraction)
    low, high = int(results.min()), int(results.max())
    output = act_type(low, high)
    if output is None:
        bits = max(low.bit_length(), high.bit_length())
        return f"{step} has results of {bits} bits; set Precision.result to at most 16 bits"
    made = Form(fraction=fraction, low=low, high=high)
    if act.bits <= MAX_TABLE_BITS:
        return Tabulated(form=made, output=output, values=results)
    advice = (
        f"set Precision.result of the layer before it to at most {MAX_TABLE_BITS} bits, or its own "
        f"to at most {MAX_TABLE_BITS} bits with AP_SAT"
    )
    if (np.diff(results) < 0).any():
        return f"{step} is a table of {act.bits} bits, and its results do not ascend; {advice}"
    if high - output.low > MAX_LEVELS:
        return f"{step} is a table of {act.bits} bits with {high - low + 1} results; {advice}"
    levels = np.arange(output.low + 1, high + 1)
    if not levels.size:
        levels = np.array([output.high])
    first = np.searchsorted(results, levels)
    reached = np.where(first < len(integers), integers[np.minimum(first, len(integers) - 1)], 0)
    thresholds = np.where(first < len(integers), reached, act.high + 1)
    return Tabulated(
        form=made, output=output, requantize=Requantize.by_thresholds(thresholds[None])
    )
