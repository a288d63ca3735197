"""Types that a file leaves open: those of a float input, and of results such as logits."""

import re
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, log2

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.values.quantizer import FloatArray, Quantizer
from systolith.exchange.values.value import PendingLayer
from systolith.network import ActType, NetworkError

__all__ = [
    "OUTPUT",
    "OUTPUT_BITS",
    "choose_output_quantizer",
    "choose_whole_quantizer",
    "parse_input_type",
]

FORM = re.compile(r"(?P<sign>u?)int(?P<bits>\d+):(?P<scale>[^:]+)(:(?P<zero>-?\d+))?")


def parse_input_type(given: str | Quantizer | None) -> Quantizer | None:
    """Parse ``TYPE:SCALE`` or ``TYPE:SCALE:ZERO_POINT``.

    Raises
    ------
    ExchangeError
        If the text has another form, or there is no such type.

    Examples
    --------
    >>> quantizer = parse_input_type("uint8:1/256:128")
    >>> str(quantizer.type), quantizer.scale
    ('uint8 zero 128', 0.00390625)
    """
    if given is None or isinstance(given, Quantizer):
        return given
    form = FORM.fullmatch(given.strip())
    try:
        if form is None:
            raise ValueError
        scale = float(Fraction(form["scale"]))
        if not 0 < scale < float("inf"):
            raise ValueError
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ExchangeError.of(
            "input_type must be TYPE:SCALE or TYPE:SCALE:ZERO_POINT with a positive scale, "
            f"such as int8:1/64 or uint8:0.02:128, got '{given}'"
        ) from None
    try:
        act = ActType(
            bits=int(form["bits"]), signed=not form["sign"], zero_point=int(form["zero"] or 0)
        )
    except NetworkError as error:
        raise ExchangeError(
            f"input_type {given}: {problem}" for problem in error.problems
        ) from None
    return Quantizer(scale=scale, type=act)


OUTPUT_BITS = 16
OUTPUT = ActType(bits=OUTPUT_BITS, signed=True)
WHOLE_TOLERANCE = 2.0**-20
"""Relative error of a whole number of steps, as scales are stored in float32."""
FINEST_STEP = 2.0**-20
"""Share of the accumulator's scale; multipliers have few bits more."""


def choose_output_quantizer(pending: PendingLayer) -> tuple[Quantizer, bool]:
    """Choose the quantizer of an unquantized result: 16 bits, one scale for all channels.

    If all results are whole numbers of the finest channel's scale and fit, that is the scale, and
    nothing is lost. Otherwise it is the coarsest channel's scale times the least power of two with
    which all results fit.

    Returns
    -------
    quantizer : Quantizer
    exact : bool
        Whether no result is rounded.
    """
    scales = pending.scale[pending.scale > 0]
    if pending.step is not None:
        return Quantizer(scale=pending.step, type=OUTPUT), _fits(pending, pending.step)
    if not scales.size:
        largest = float(np.abs(pending.offset).max(initial=0))
        return Quantizer(scale=largest or 1.0, type=OUTPUT), False
    finest, coarsest = float(scales.min()), float(scales.max())
    if _whole(pending, finest) and _fits(pending, finest):
        return Quantizer(scale=finest, type=OUTPUT), True
    needed = _reach(pending, coarsest) / (OUTPUT.high - 1)
    step = coarsest * max(2.0 ** ceil(log2(max(needed, FINEST_STEP))), FINEST_STEP)
    exact = _whole(pending, step) and _fits(pending, step)
    return Quantizer(scale=step, type=OUTPUT), exact


def choose_whole_quantizer(pending: PendingLayer) -> Quantizer | None:
    """Choose the fewest bits that hold a result without rounding; None if 16 do not."""
    if pending.error:
        return None
    quantizer, exact = choose_output_quantizer(pending)
    if not exact:
        return None
    low, high = (bound / quantizer.scale for bound in _range(pending))
    act = ActType(bits=OUTPUT_BITS, signed=floor(low) < 0)
    while act.bits > 1 + act.signed:
        narrower = replace(act, bits=act.bits - 1)
        if low < narrower.low - WHOLE_TOLERANCE or high > narrower.high + WHOLE_TOLERANCE:
            break
        act = narrower
    return replace(quantizer, type=act)


def _range(pending: PendingLayer) -> tuple[float, float]:
    """Compute the range of the values, after clipping."""
    least, most = pending.sum_range(np.zeros(pending.scale.size, dtype=np.int64))
    low = float((least * pending.scale + pending.offset).min())
    high = float((most * pending.scale + pending.offset).max())
    return min(max(low, pending.low), pending.high), max(min(high, pending.high), pending.low)


def _whole(pending: PendingLayer, step: float) -> bool:
    """Whether every value is a whole number of steps."""
    low, high = _range(pending)
    bounds = [bound for bound in (pending.low, pending.high) if low <= bound <= high]
    values = np.concatenate([pending.scale, pending.offset, np.asarray(bounds)]) / step
    away: FloatArray = np.abs(values - np.rint(values))
    return bool((away <= WHOLE_TOLERANCE * np.maximum(np.abs(values), 1)).all())


def _fits(pending: PendingLayer, step: float) -> bool:
    return _reach(pending, float(pending.scale.max())) * float(pending.scale.max()) <= (
        step * OUTPUT.high
    )


def _reach(pending: PendingLayer, coarsest: float) -> float:
    """Compute the largest magnitude of the values, in steps of the coarsest channel."""
    bias = np.ceil(np.abs(pending.offset) / coarsest).astype(np.int64) * np.sign(
        pending.offset
    ).astype(np.int64)
    low, high = pending.sum_range(bias)
    least, most = max(low, pending.low / coarsest), min(high, pending.high / coarsest)
    return float(max(abs(least), abs(most), 1))
