"""Violations of a pattern by a mask: found on whole arrays, described for the first places."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from systolith.network.axes import (
    BoolArray,
    Dense,
    Granularity,
    KOutOfN,
    PerNeuron,
    Select,
    Taps,
)

__all__ = ["Finding", "mask_findings", "report"]

MAX_REPORTED = 5


class Finding(NamedTuple):
    """One kind of violation: its places, and a description of each."""

    bad: BoolArray
    describe: Callable[..., str]
    """Takes one index per axis of `bad`."""


def report(findings: Iterable[Finding], what: str) -> Iterator[str]:
    """Describe the first places and count the others."""
    sentences: list[str] = []
    total = 0
    for bad, describe in findings:
        flat = np.flatnonzero(bad)
        total += flat.size
        places = islice(flat, MAX_REPORTED - len(sentences))
        sentences += [describe(*map(int, np.unravel_index(place, bad.shape))) for place in places]
    yield from sentences
    if total > len(sentences):
        yield f"and {total - len(sentences)} more places that break {what}"


def mask_findings(select: Select, taps: Taps, read: BoolArray, mask: BoolArray) -> list[Finding]:
    """Compare a mask with a pattern that fits its shape.

    Parameters
    ----------
    select, taps
        The pattern.
    read : array of bool, shape (1, C, Kh, Kw)
        What `taps` leaves.
    mask : array of bool, shape (F, C, Kh, Kw)
    """
    dropped = Finding(
        mask & ~read,
        lambda f, c, y, x: (
            f"filter {f} keeps tap ({y}, {x}) of input channel {c}, which {taps} drops"
        ),
    )
    match select:
        case Dense():
            missing = Finding(
                ~mask & read,
                lambda f, c, y, x: (
                    f"filter {f} drops the weight of input channel {c} at tap ({y}, {x})"
                ),
            )
            return [dropped, missing]
        case PerNeuron():
            return [dropped, _neuron_counts(select, mask & read), _sharing(select, mask)]
        case KOutOfN():
            counts = _group_counts(select, read, mask & read)
            return [dropped, *counts, _sharing(select, mask)]


def _neuron_counts(select: PerNeuron, mask: BoolArray) -> Finding:
    counts = np.count_nonzero(mask, axis=(1, 2, 3))
    return Finding(
        counts != select.k,
        lambda f: f"filter {f} keeps {counts[f]} weights, but {select} needs {select.k}",
    )


def _group_counts(select: KOutOfN, read: BoolArray, mask: BoolArray) -> Iterator[Finding]:
    n = select.n
    filters, channels, kh, kw = mask.shape
    counts = np.count_nonzero(mask.reshape(filters, channels // n, n, kh, kw), axis=2)
    # A group is read whole or not at all at each tap, so its first channel speaks for it.
    wanted = np.where(read[:, ::n], select.k, 0)

    def describe(f: int, g: int, y: int, x: int) -> str:
        return (
            f"filter {f}, group {g} (input channels {g * n}..{g * n + n - 1}) at tap ({y}, {x}) "
            f"keeps {counts[f, g, y, x]} weights, but {select} needs {wanted[0, g, y, x]}"
        )

    yield Finding(counts != wanted, describe)
    if select.granularity is Granularity.KERNEL:
        partial = mask.any(axis=(2, 3)) & (mask != read).any(axis=(2, 3))
        yield Finding(
            partial,
            lambda f, c: f"filter {f} keeps only some taps of the kernel of input channel {c}",
        )


def _sharing(select: KOutOfN | PerNeuron, mask: BoolArray) -> Finding:
    shared_by = select.shared_by
    teams = mask.reshape(-1, shared_by, mask[0].size)
    return Finding(
        (teams != teams[:, :1]).any(axis=2).reshape(-1),
        lambda f: (
            f"filter {f} selects other weights than filter {f // shared_by * shared_by}, "
            f"but {shared_by} neighbouring filters share one selection"
        ),
    )
