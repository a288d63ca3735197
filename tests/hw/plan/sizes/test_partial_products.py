"""Parts of wide factors: their products add up, and only wide ones take multipliers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.plan import FACTOR_BITS, partial_products
from systolith.plan.sizes.partial_products import count_multipliers

WIDTHS = st.integers(1, 60)


@given(first=WIDTHS, second=WIDTHS, data=st.data())
def test_products_of_parts_add_up_to_the_product(
    first: int, second: int, data: st.DataObject
) -> None:
    factors = [data.draw(st.integers(0, (1 << bits) - 1)) for bits in (first, second)]
    total = 0
    for part in partial_products(first, second):
        left, right = (
            factor >> place & (1 << bits) - 1
            for factor, place, bits in zip(factors, part.places, part.bits, strict=True)
        )
        total += left * right << part.place
        assert max(part.bits) <= FACTOR_BITS
        assert left * right < 1 << part.width
    assert total == factors[0] * factors[1]


@pytest.mark.parametrize(
    ("first", "second", "multipliers"),
    [(1, 16, 0), (2, 16, 1), (18, 18, 1), (19, 16, 1), (24, 16, 1), (25, 16, 2), (24, 24, 1)]
    + [(25, 25, 4), (36, 18, 2), (42, 16, 2), (43, 16, 3)],
)
def test_a_narrow_end_takes_no_multiplier(first: int, second: int, multipliers: int) -> None:
    assert count_multipliers(first, second) == multipliers
    assert count_multipliers(second, first) == multipliers
