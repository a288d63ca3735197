"""Checks of arguments' types, for messages in the user's terms."""

from collections.abc import Iterator
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

__all__ = ["is_number", "is_whole", "kind_problems", "plain_number", "show_value"]


def kind_problems(name: str, value: Any, *kinds: type) -> Iterator[str]:
    """Yield why an argument has the wrong type.

    Parameters
    ----------
    name : str
    value : Any
    *kinds : type
        Types that it may have. Any integer is an int, any real number a float; booleans are not.

    Examples
    --------
    >>> list(kind_problems("depth", "4", int, type(None)))
    ["depth must be an int or None, got '4'"]
    """
    if any(_is_kind(value, kind) for kind in kinds):
        return
    names = [kind.__name__ for kind in kinds if kind is not type(None)]
    article = "an" if names[0][0] in "aeiouAEIOU" else "a"
    none = [] if len(names) == len(kinds) else ["None"]
    yield f"{name} must be {article} {' or '.join([*names, *none])}, got {show_value(value)}"


def _is_kind(value: Any, kind: type) -> bool:
    if kind is int:
        return is_whole(value)
    return is_number(value) if kind is float else isinstance(value, kind)


def show_value(value: Any) -> str:
    """Write a value for a message: plain ones as they are, others by their type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    plain = value is None or isinstance(value, bool | int | float | str | Path | Enum)
    return repr(value) if plain else type(value).__name__


def is_number(value: Any) -> bool:
    """Whether a value is a real number; booleans are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether a value is an integer; booleans are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def plain_number(value: Any) -> Any:
    """Return the int or float that equals a number, such as one of NumPy; other values as given."""
    if is_whole(value):
        return int(value)
    return float(value) if is_number(value) else value
