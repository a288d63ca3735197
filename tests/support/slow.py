"""Test parameters: a few run for every change, all of them for a release."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_few(values: Iterable[Any], count: int) -> list[Any]:
    """Mark all but the first `count` values as slow: ``make test-full`` takes these, too."""
    return [
        value if number < count else pytest.param(*_each(value), marks=pytest.mark.slow)
        for number, value in enumerate(values)
    ]


def _each(value: Any) -> tuple[Any, ...]:
    """Values of several parameters are given as a tuple."""
    return value if isinstance(value, tuple) else (value,)
