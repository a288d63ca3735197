"""Checks of the fields of frozen dataclasses, which collect all problems."""

import re
import reprlib
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from systolith.network.errors import NetworkError

__all__ = ["Fields", "as_int", "is_name", "repr_of"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
INT64 = np.iinfo(np.int64)


class Fields:
    """The fields of a frozen dataclass in its ``__post_init__``.

    Each method checks the type of one field, replaces it by a plain, immutable value (``np.int64``
    becomes int, a list a tuple, an array a read-only copy), or adds a problem. It returns whether
    the field is right, so that only what makes sense is checked further.
    """

    def __init__(self, owner: object) -> None:
        self._owner = owner
        self.problems: list[str] = []

    def _get(self, field: str) -> Any:
        return getattr(self._owner, field)

    def _set(self, field: str, value: object) -> bool:
        object.__setattr__(self._owner, field, value)
        return True

    def _wrong(self, problem: str) -> bool:
        self.problems.append(problem)
        return False

    def integer(self, field: str) -> bool:
        """Convert a field to int; bool, float and str are refused."""
        value = as_int(self._get(field))
        if value is None:
            return self._wrong(f"{field} must be an integer, got {repr_of(self._get(field))}")
        return self._set(field, value)

    def integers(self, field: str, length: int | None = None) -> bool:
        """Convert a field to a tuple of int, of a given length or any."""
        given = self._get(field)
        values = (
            [as_int(value) for value in given]
            if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str | bytes)
            else [None]
        )
        if None in values or length not in (None, len(values)):
            count = "" if length is None else f"{length} "
            return self._wrong(f"{field} must be {count}integers, got {repr_of(given)}")
        return self._set(field, tuple(values))

    def boolean(self, field: str) -> bool:
        """Convert a field to bool."""
        if not isinstance(self._get(field), bool | np.bool_):
            return self._wrong(f"{field} must be True or False, got {repr_of(self._get(field))}")
        return self._set(field, bool(self._get(field)))

    def name(self, field: str) -> bool:
        """Check that a field can name Verilog modules and files."""
        if not is_name(self._get(field)):
            return self._wrong(
                f"{field} must consist of letters, digits, '_' and '.' and start with a letter or "
                f"'_', because Verilog modules and files are named after it; "
                f"got {repr_of(self._get(field))}"
            )
        return True

    def instance(self, field: str, *kinds: type) -> bool:
        """Check that a field is an instance of one of `kinds`."""
        if not isinstance(self._get(field), kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            return self._wrong(f"{field} must be {wanted}, got {repr_of(self._get(field))}")
        return True

    def int_array(self, field: str, label: str = "") -> bool:
        """Convert a field to a read-only array of int64."""
        label = label or field
        array = _as_array(self._get(field))
        if array is None:
            return self._wrong(
                f"{label} must be an array of integers, got {repr_of(self._get(field))}"
            )
        if array.dtype.kind not in "iu":
            return self._wrong(f"{label} must be integers, got {array.dtype}")
        if array.dtype.kind == "u" and array.size and array.max() > INT64.max:
            return self._wrong(f"{label} must fit 64 bits signed, got {array.max()}")
        return self._set(field, _frozen(array, np.int64))

    def bool_array(self, field: str) -> bool:
        """Convert a field to a read-only array of bool."""
        array = _as_array(self._get(field))
        if array is None:
            return self._wrong(f"{field} must be bool, got {repr_of(self._get(field))}")
        if array.dtype != np.bool_:
            return self._wrong(f"{field} must be bool, got {array.dtype}")
        return self._set(field, _frozen(array, np.bool_))

    def finish(self, prefix: str = "") -> None:
        """Raise an error with all problems, if there are any."""
        NetworkError.raise_if_any(prefix + problem for problem in self.problems)


def as_int(value: object) -> int | None:
    """Convert an integer of at most 64 bits to int; None for anything else."""
    if isinstance(value, bool | np.bool_ | np.ndarray):
        return None
    try:
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        return None
    return number if INT64.min <= number <= INT64.max else None


def is_name(value: object) -> bool:
    """Whether `value` can name a layer or a network."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def repr_of(value: object) -> str:
    """Describe any value in one short line."""
    if isinstance(value, int) and as_int(value) is None and not isinstance(value, bool):
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    if isinstance(value, tuple | list) and all(as_int(item) is not None for item in value):
        return repr(value) if len(value) <= 8 else reprlib.repr(value)
    try:
        return reprlib.repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"


def _as_array(values: ArrayLike) -> NDArray[Any] | None:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        return None


def _frozen(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    frozen = np.array(array, dtype=dtype, order="C")
    frozen.setflags(write=False)
    return frozen
