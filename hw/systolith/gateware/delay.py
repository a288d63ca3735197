"""Delay lines."""

from typing import Any

from amaranth import Module, Signal

__all__ = ["delayed", "payload"]


def delayed(m: Module, value: Any, cycles: int, name: str, *, reset_less: bool = False) -> Any:
    """Delay a value by a number of cycles; registers are called ``name_1``, ``name_2`` and so on.

    Parameters
    ----------
    m : Module
        Where the registers go.
    value : Value or View
        What is delayed.
    cycles : int
        At least 0.
    name : str
        Base of the registers' names.
    reset_less : bool
        Whether the registers keep their values in reset.

    Returns
    -------
    Value or View of the same shape
    """
    for number in range(1, cycles + 1):
        register = Signal(value.shape(), name=f"{name}_{number}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value


def payload(m: Module, value: Any, cycles: int, name: str) -> Any:
    """Delay a payload: as :func:`delayed`, but without reset."""
    return delayed(m, value, cycles, name, reset_less=True)
