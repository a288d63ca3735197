"""Schedules: the pattern of a layer at each moment of training."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Protocol, runtime_checkable

from systolith.network import Dense, KOutOfN, Pattern, PerNeuron, WeightShape
from systolith.prune.errors import PruneError

__all__ = ["Cubic", "OneShot", "Schedule"]


@runtime_checkable
class Schedule(Protocol):
    """The sequence of patterns from dense to the final one."""

    def pattern(self, final: Pattern, shape: WeightShape, progress: float) -> Pattern:
        """Return the pattern at one moment.

        Parameters
        ----------
        final : Pattern
            Pattern at the end of training.
        shape : WeightShape
            Shape of the weights, (F, C, Kh, Kw).
        progress : float
            0 at the start of training, 1 at its end.

        Returns
        -------
        Pattern
            `final` with another k; masks conform to it exactly.
        """
        ...


@dataclass(frozen=True, slots=True)
class OneShot:
    """The final pattern from the start."""

    def pattern(self, final: Pattern, shape: WeightShape, progress: float) -> Pattern:
        """See :meth:`Schedule.pattern`."""
        return final


@dataclass(frozen=True, slots=True, kw_only=True)
class Cubic:
    """k falls from n to its final value, fast at first: ``k(t) = ceil(k + (n - k) (1 - t)^3)``.

    t runs from 0 to 1 between `begin` and `end`. k is an integer at each moment, so masks always
    conform exactly.

    Parameters
    ----------
    begin, end : float
        Progress of training, ``0 <= begin < end <= 1``.

    Raises
    ------
    PruneError
        If begin and end are out of range.

    Notes
    -----
    Zhu, Gupta: To prune, or not to prune (ICLR workshop 2018), equation 1.

    **Deviation:** the density of a group is rounded up to an integer number of weights, and changes
    with that number instead of every delta-t steps.
    """

    begin: float = 0.0
    end: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.end <= 1:
            raise PruneError(
                [f"schedule needs 0 <= begin < end <= 1, got begin={self.begin}, end={self.end}"]
            )

    def pattern(self, final: Pattern, shape: WeightShape, progress: float) -> Pattern:
        """See :meth:`Schedule.pattern`."""
        t = min(max((progress - self.begin) / (self.end - self.begin), 0.0), 1.0)
        select = final.select
        match select:
            case Dense():
                return final
            case KOutOfN():
                return replace(final, select=replace(select, k=_between(select.k, select.n, t)))
            case PerNeuron():
                reduction = int(final.tap_mask(shape).sum())
                return replace(final, select=replace(select, k=_between(select.k, reduction, t)))


def _between(k: int, n: int, t: float) -> int:
    return ceil(k + (n - k) * (1 - t) ** 3)
