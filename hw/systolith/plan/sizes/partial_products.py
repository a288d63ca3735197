"""Products of factors that are wider than those of a device's multipliers."""

from dataclasses import dataclass
from itertools import product

__all__ = ["FACTOR_BITS", "PartialProduct", "count_multipliers", "partial_products"]

FACTOR_BITS = 18
"""Bits of a factor of a device's multiplier."""
NARROW_BITS = 6
"""Most bits at the upper end of a wider factor that LUTs multiply."""


@dataclass(frozen=True, slots=True)
class PartialProduct:
    """The product of a part of one factor and a part of another.

    Attributes
    ----------
    places : pair of int
        Lowest bit of each part.
    bits : pair of int
        Width of each part.
    """

    places: tuple[int, int]
    bits: tuple[int, int]

    @property
    def place(self) -> int:
        """Place of this product's lowest bit in the whole product."""
        return sum(self.places)

    @property
    def width(self) -> int:
        """Bits of this product."""
        return sum(self.bits)

    @property
    def in_luts(self) -> bool:
        """Whether LUTs compute it: a part is one bit, or the narrow end of a wide factor."""
        return any(
            bits == 1 or (place > 0 and bits <= NARROW_BITS)
            for place, bits in zip(self.places, self.bits, strict=True)
        )


def partial_products(first: int, second: int) -> list[PartialProduct]:
    """Split the product of two factors into products that the device's multipliers or LUTs compute.

    Parameters
    ----------
    first, second : int
        Widths of the factors.
    """
    parts = [
        [(place, min(FACTOR_BITS, bits - place)) for place in range(0, bits, FACTOR_BITS)]
        for bits in (first, second)
    ]
    return [
        PartialProduct(places=(place, other), bits=(bits, others))
        for (place, bits), (other, others) in product(*parts)
    ]


def count_multipliers(first: int, second: int) -> int:
    """Count the device's multipliers that the product of factors of these widths takes."""
    return sum(not part.in_luts for part in partial_products(first, second))
