"""Rounding right shifts by constants, and the first of TFLite's two roundings."""

from amaranth import C, Cat, Value, signed

from systolith.network import Rounding

__all__ = ["round_once", "round_shifted"]

FIRST = 30
"""Place of half a unit of the first shift, which drops 31 bits."""
LARGE = 5
"""Bit of a shift that says whether a second shift follows: at most 62, more than 31."""


def round_once(value: Value, shift: Value | int) -> Value:
    """Prepare a value so that one shift with ties towards plus infinity rounds it twice.

    ``t = (value + 2**30) >> 31`` is shifted again by s bits, with ties away from zero. Together
    these are ``(value + 2**30 + 2**(30+s) - 2**31 * (t < 0)) >> (31+s)``. The shift that follows
    adds ``2**(30+s)``. What remains is ``2**30``, with the sign of t.

    Parameters
    ----------
    value : Value
        Signed.
    shift : Value or int
        At most 62. Up to 31 there is no second shift, and the value stays as it is.
    """
    if (shift <= FIRST + 1) if isinstance(shift, int) else (len(shift) <= LARGE):
        return value
    wide = (value + C(0, signed(FIRST + 2)))[: max(len(value), FIRST + 2)]
    kept, upper = wide[:FIRST], wide[FIRST:].as_signed()
    # t is negative where the value is below -2**30.
    negative = upper[-1] & ~upper.all()
    half = Cat(C(1, 1), negative)
    if isinstance(shift, Value):
        half = half & shift[LARGE].replicate(2)
    return Cat(kept, upper + half.as_signed()).as_signed()


def round_shifted(value: Value, shift: int, rounding: Rounding) -> Value:
    """Shift right by a constant and round; for TFLite's rounding, behind :func:`round_once`.

    Golden model: :func:`systolith.network.requantizing.shift_right`, bit for bit.
    """
    if not shift or rounding is Rounding.FLOOR:
        return value.shift_right(shift)
    # One bit of the fraction is kept for rounding.
    kept, beyond = value.shift_right(shift - 1), value[: shift - 1].any()
    if rounding is Rounding.HALF_EVEN:
        whole = kept.shift_right(1)
        kept = Cat(kept[0] & (beyond | whole[0]), whole).as_signed()
    return (kept + 1).shift_right(1)
