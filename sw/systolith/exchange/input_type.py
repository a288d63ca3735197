"""Types of float inputs that a file does not quantize, as a user writes them."""

import re
from fractions import Fraction

from systolith.exchange.errors import ExchangeError
from systolith.exchange.quantizer import Quantizer
from systolith.network import ActType, NetworkError

__all__ = ["input_type_of"]

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
