"""Counters whose comparisons are registers: what they tell was computed one step ahead."""

from amaranth import C, Cat, Module, Mux, Signal, Value

__all__ = ["add_and_carry", "count_laps", "is_below"]


def count_laps(
    m: Module,
    size: int,
    step: Value | Signal,
    name: str,
    *,
    start: int = 0,
    restart: Value | int = 0,
) -> tuple[Signal, Value]:
    """Count from 0 to ``size - 1``, again and again.

    Parameters
    ----------
    m : Module
        Module that gets the registers.
    size : int
        At least 1.
    step : Value
        Count in this cycle.
    name : str
        Of the counter; the flag is called ``last_name``.
    start : int
        First value.
    restart : Value
        Go on with 0 after this step, before the lap ends.

    Returns
    -------
    counter : Signal
    last : Value
        Whether the counter is at its last value: a register, not a comparison.
    """
    counter = Signal(range(size), name=name, init=start)
    if size == 1:
        return counter, C(1)
    last = Signal(name=f"last_{name}", init=start == size - 1)
    with m.If(step):
        m.d.sync += [
            counter.eq(Mux(last | restart, 0, counter + 1)),
            last.eq(Mux(restart, 0, counter == size - 2)),
        ]
    return counter, last


def add_and_carry(augend: Value, addend: Value, carry: Value) -> Value:
    """Add two numbers and one bit with a single carry chain, as wide as `augend`.

    Parameters
    ----------
    augend, addend : Value
        The addend is as wide as the augend, or has the same value if it is extended.
    carry : Value
        One bit.
    """
    total = Cat(C(1, 1), augend).as_signed() + Cat(carry, addend).as_signed()
    return total[1 : len(augend) + 1].as_signed()


def is_below(counter: Value, end: int) -> Value:
    """Compare a counter with a constant in LUTs, without a carry chain."""
    below: Value = C(0, 1)
    for bit, place in zip(counter, range(len(counter)), strict=True):
        below = ~bit | below if end >> place & 1 else ~bit & below
    return C(1, 1) if end >= 1 << len(counter) else below
