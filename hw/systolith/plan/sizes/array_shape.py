"""The size of a PE array, what its PEs multiply with, and how activations reach them."""

from dataclasses import dataclass
from enum import Enum
from numbers import Integral

from systolith.plan.errors import PlanError

__all__ = ["ArrayShape", "Feed", "MultiplierKind", "SingleBits"]


class MultiplierKind(Enum):
    """What a PE multiplies with."""

    DSP = "DSP"
    """A multiplier of the device."""
    LUT = "LUT"
    """A tree of adders with one term for each bit of the weight; cheap for narrow weights."""


class SingleBits(Enum):
    """What the single bits of activations stand for, where weights are -1 or +1.

    A PE then compares bits of activations with bits of weights, 0 for -1 and 1 for +1, and counts
    the equal ones: XNOR and popcount. The bias accounts for the rest, see :func:`fold_bias`.
    """

    NUMBERS = "0 or 1"
    """Activations of one bit. Padding is the zero point, one of both."""
    SIGNS = "-1 or +1"
    """Activations of two bits that are never 0 nor -2; one bit of them is stored. Padding is 0: it
    counts half of the bits. So sums are twice the count."""


class Feed(Enum):
    """How activations reach the PEs of an array."""

    ROWS = "rows"
    """Each row has a memory with its channel groups. A group moves right along the row, and each
    multiplier selects one of its activations."""
    DEPTHWISE = "depthwise"
    """Each row has a memory with neighbouring channels. They move right together, and each column
    takes its own channel."""
    GATHERED = "gathered"
    """Each PE has a memory with the whole window and fetches the activation of its weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayShape:
    """Size of a PE array.

    Parameters
    ----------
    rows : int
        PEs that share a column's sum; they divide the reduction (taps x groups).
    columns : int
        PEs that share a row's activations; they divide the filters.
    multipliers : int
        Multipliers of each PE; they divide the k slots of a group. Products of single bits are
        counted: a PE of a dense layer then has a divisor of the channels.
    packed : int
        Filters per column, 1 or 2. A multiplier computes that many products, if weights are narrow
        and both filters read the same activations.

    Raises
    ------
    PlanError
        If a size is no integer. The upper limits depend on the layer.
    """

    rows: int
    columns: int
    multipliers: int = 1
    packed: int = 1

    def __post_init__(self) -> None:
        names = ("rows", "columns", "multipliers", "packed")
        sizes = {name: getattr(self, name) for name in names}
        PlanError.raise_if_any(
            f"{name} of an array must be an integer, got {value!r}"
            for name, value in sizes.items()
            if not isinstance(value, Integral) or isinstance(value, bool)
        )
        for name, value in sizes.items():
            object.__setattr__(self, name, int(value))

    @property
    def pes(self) -> int:
        """Processing elements."""
        return self.rows * self.columns

    @property
    def total(self) -> int:
        """Multipliers of the array."""
        return self.pes * self.multipliers

    @property
    def width(self) -> int:
        """Filters side by side."""
        return self.columns * self.packed
