"""Types that a file leaves open: of a float input, and of results such as logits."""

import re
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, log2

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.values.quantizer import FloatArray, Quantizer
from systolith.exchange.values.value import Pending
from systolith.network import ActType, NetworkError

__all__ = ["OUTPUT", "OUTPUT_BITS", "input_type_of", "output_quantizer", "whole_quantizer"]

FORM = re.compile(r"(?P<sign>u?)int(?P<bits>\d+):(?P<scale>[^:]+)(:(?P<zero>-?\d+))?")


def input_type_of(given: str | Quantizer | None) -> Quantizer | None:
    """Read ``TYPE:SCALE`` or ``TYPE:SCALE:ZERO_POINT``.

    Raises
    ------
    ExchangeError
        If it is written in another way, or there is no such type.

    Examples
    --------
    >>> found = input_type_of("uint8:1/256:128")
    >>> str(found.type), found.scale
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
        raise ExchangeError(
            [
                (
                    "input_type must be TYPE:SCALE or TYPE:SCALE:ZERO_POINT with a positive scale, "
                    f"such as int8:1/64 or uint8:0.02:128, got '{given}'"
                )
            ]
        ) from None
    try:
        act = ActType(
            bits=int(form["bits"]), signed=not form["sign"], zero_point=int(form["zero"] or 0)
        )
    except NetworkError as error:
        raise ExchangeError(f"input_type {given}: {each}" for each in error.problems) from None
    return Quantizer(scale=scale, type=act)


OUTPUT_BITS = 16
OUTPUT = ActType(bits=OUTPUT_BITS, signed=True)
NOISE = 2.0**-20
"""Scales are stored as float32: whole numbers of steps are whole but for this share."""
FINEST = 2.0**-20
"""Of the accumulator's scale: multipliers have few bits more."""


def output_quantizer(pending: Pending) -> tuple[Quantizer, bool]:
    """Give a result as many bits as there are, and all channels one scale.

    The scale is that of the channel with the finest sums, where all results are whole numbers of
    it and fit: then nothing is lost. Else it is the coarsest channel's times a power of two, the
    finest with which everything fits.

    Returns
    -------
    quantizer : Quantizer
    exact : bool
        Whether nothing has to be rounded.
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
    step = coarsest * max(2.0 ** ceil(log2(max(needed, FINEST))), FINEST)
    exact = _whole(pending, step) and _fits(pending, step)
    return Quantizer(scale=step, type=OUTPUT), exact


def whole_quantizer(pending: Pending) -> Quantizer | None:
    """Give a result the fewest bits in which nothing has to be rounded; None if 16 do not do."""
    if pending.error:
        return None
    quantizer, exact = output_quantizer(pending)
    if not exact:
        return None
    low, high = (bound / quantizer.scale for bound in _range(pending))
    act = ActType(bits=OUTPUT_BITS, signed=floor(low) < 0)
    while act.bits > 1 + act.signed:
        narrower = replace(act, bits=act.bits - 1)
        if low < narrower.low - NOISE or high > narrower.high + NOISE:
            break
        act = narrower
    return replace(quantizer, type=act)


def _range(pending: Pending) -> tuple[float, float]:
    """What the values lie between, bounds that cut something off included."""
    least, most = pending.accumulated(np.zeros(pending.scale.size, dtype=np.int64))
    low = float((least * pending.scale + pending.offset).min())
    high = float((most * pending.scale + pending.offset).max())
    return min(max(low, pending.low), pending.high), max(min(high, pending.high), pending.low)


def _whole(pending: Pending, step: float) -> bool:
    """Whether every value is a whole number of steps."""
    low, high = _range(pending)
    bounds = [bound for bound in (pending.low, pending.high) if low <= bound <= high]
    values = np.concatenate([pending.scale, pending.offset, np.asarray(bounds)]) / step
    away: FloatArray = np.abs(values - np.rint(values))
    return bool((away <= NOISE * np.maximum(np.abs(values), 1)).all())


def _fits(pending: Pending, step: float) -> bool:
    return _reach(pending, float(pending.scale.max())) * float(pending.scale.max()) <= (
        step * OUTPUT.high
    )


def _reach(pending: Pending, coarsest: float) -> float:
    """The largest magnitude, in steps of the coarsest channel, that this can have."""
    bias = np.ceil(np.abs(pending.offset) / coarsest).astype(np.int64) * np.sign(
        pending.offset
    ).astype(np.int64)
    low, high = pending.accumulated(bias)
    least, most = max(low, pending.low / coarsest), min(high, pending.high / coarsest)
    return float(max(abs(least), abs(most), 1))
