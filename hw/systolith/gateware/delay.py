"""Delay lines."""

from typing import Any

from amaranth import Module, Signal

__all__ = ["PAYLOAD", "delay", "delay_payload"]

PAYLOAD = "systolith_payload"
"""Attribute of registers without reset: nothing depends on what they hold at power-up."""


def delay(m: Module, value: Any, cycles: int, name: str, *, reset_less: bool = False) -> Any:
    """Delay a value by a number of cycles; the registers are called ``name_1``, ``name_2`` ...

    Parameters
    ----------
    m : Module
        Module that gets the registers.
    value : Value or View
        Value to delay.
    cycles : int
        At least 0.
    name : str
        Beginning of the registers' names.
    reset_less : bool
        Whether the registers keep their values in reset.

    Returns
    -------
    Value or View of the same shape
    """
    for number in range(1, cycles + 1):
        attrs = {PAYLOAD: 1} if reset_less else {}
        register = Signal(
            value.shape(), name=f"{name}_{number}", reset_less=reset_less, attrs=attrs
        )
        m.d.sync += register.eq(value)
        value = register
    return value


def delay_payload(m: Module, value: Any, cycles: int, name: str) -> Any:
    """Delay a value like :func:`delay`, in registers without reset."""
    return delay(m, value, cycles, name, reset_less=True)
