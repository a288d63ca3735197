"""Patterns of weights that arrive pruned."""

import re

import numpy as np

from systolith.exchange import detect
from systolith.network import (
    BoolArray,
    Dense,
    Granularity,
    IntArray,
    KOutOfN,
    NetworkError,
    Pattern,
)

__all__ = ["pattern_of", "pattern_problem"]

WRITTEN = re.compile(r"(\d+)-of-(\d+)(-kernel)?")


def pattern_problem(text: object) -> str | None:
    """Say why something is no name of a pattern; None if it is one."""
    if isinstance(text, str) and (text == "dense" or WRITTEN.fullmatch(text)):
        return None
    return f"must be 'dense', 'K-of-N' such as '2-of-4', or 'K-of-N-kernel', got {text!r}"


def pattern_of(weight: IntArray, text: str | None) -> tuple[Pattern, BoolArray | None]:
    """Find the pattern of weights, and which of them are kept.

    Parameters
    ----------
    weight : array of int64, shape (F, C, Kh, Kw)
    text : str or None
        What the configuration says: see :func:`pattern_problem`. None: what is recognised.

    Returns
    -------
    tuple of Pattern, array of bool or None
        The mask is None if the pattern is dense.

    Raises
    ------
    NetworkError
        If the weights do not conform.
    """
    if text is None:
        found = detect(weight)
        return found.pattern, found.mask
    pattern = _read(text)
    if pattern.is_dense:
        return pattern, None
    if isinstance(pattern.select, KOutOfN) and weight.shape[1] % pattern.select.n:
        raise NetworkError(list(pattern.problems(weight.shape)))
    return pattern, kept_mask(weight, pattern)


def kept_mask(weight: IntArray, pattern: Pattern) -> BoolArray:
    """Keep every weight that is not 0, and zeros besides where a group has too few others."""
    select = pattern.select
    assert isinstance(select, KOutOfN)
    filters, channels, height, width = weight.shape
    groups = weight.reshape(filters, channels // select.n, select.n, height, width)
    kernel = select.granularity is Granularity.KERNEL
    used = (groups != 0).any(axis=(3, 4), keepdims=True) if kernel else groups != 0
    missing = select.k - used.sum(axis=2, keepdims=True)
    spare = ~used
    filled = used | (spare & (spare.cumsum(axis=2) <= missing))
    if (missing < 0).any():
        found = int(used.sum(axis=2).max())
        problem = (
            f"Pattern {select} keeps {select.k} of every {select.n} input channels, but a group "
            f"has {found} weights that are not 0; prune them, or leave Pattern out"
        )
        raise NetworkError([problem])
    return np.broadcast_to(filled, groups.shape).reshape(weight.shape)


def _read(text: str) -> Pattern:
    match = WRITTEN.fullmatch(text)
    if match is None:
        return Pattern(select=Dense())
    granularity = Granularity.KERNEL if match[3] else Granularity.WEIGHT
    return Pattern(select=KOutOfN(int(match[1]), int(match[2]), granularity))
