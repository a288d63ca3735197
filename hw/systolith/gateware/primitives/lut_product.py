"""Products in LUTs: sums of terms, each an activation times two bits of a weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

from amaranth import C, Cat, Module, Shape, Value

from systolith.gateware.delay import delay_payload
from systolith.gateware.primitives.gated_sum import sum_gated

__all__ = ["ProductTerm", "add_in_tree", "add_to_psum", "multiply_in_luts", "product_terms"]


@dataclass(frozen=True, slots=True)
class ProductTerm:
    """``value * 2 ** place``."""

    value: Value
    place: int

    def above(self, place: int) -> Value:
        """Return the value in units of a lower place."""
        return self.value.shift_left(self.place - place)


def product_terms(
    platform: object, m: Module, act: Value, weight: Value, name: str
) -> list[ProductTerm]:
    """Split a product into terms: the activation times two bits of the weight each.

    The weight's highest bit has a negative value.

    Returns
    -------
    list of ProductTerm
        ``plan.lut_terms(len(weight))`` terms, one cycle late; their sum is the product.
    """
    terms = []
    for place in range(0, len(weight), 2):
        low, *high = weight[place : place + 2]
        negative = place + 2 >= len(weight)
        label = f"{name}_{place}"
        if high:
            # The lowest bit is no sum: it needs no place in a carry chain.
            shape = Shape(len(act) + 1, signed=negative or act.shape().signed)
            pair = (act.shift_right(1), low), (act, high[0])
            upper = sum_gated(platform, m, label, *pair, shape, negative=negative)
            total = Cat(act[0] & low, upper)
            value = total.as_signed() if shape.signed else total
        else:
            shape = Shape(len(act) + 1, signed=True)
            pair = (C(0), C(0)), (act, low)
            value = sum_gated(platform, m, label, *pair, shape, negative=True)
        terms.append(ProductTerm(delay_payload(m, value, 1, name), place))
    return terms


def add_in_tree(
    m: Module, terms: Sequence[ProductTerm], name: str, *, left: int = 1
) -> list[ProductTerm]:
    """Add terms in pairs, with a register after each level, until at most `left` are left."""
    while len(terms) > left:
        pairs = [terms[first : first + 2] for first in range(0, len(terms), 2)]
        terms = [_delayed_sum(m, pair, name) for pair in pairs]
    return list(terms)


def _delayed_sum(m: Module, terms: Sequence[ProductTerm], name: str) -> ProductTerm:
    place = min(term.place for term in terms)
    first, *others = (term.above(place) for term in terms)
    total = first + others[0] if others else first
    return ProductTerm(delay_payload(m, total, 1, name), place)


def add_to_psum(psum: Value, terms: Sequence[ProductTerm]) -> Value:
    """Add at most ``plan.PSUM_TERMS`` terms to a partial sum with one carry chain, at once.

    Where three bits meet, full adders leave two for the chain.
    """
    low, *others = sorted(terms, key=lambda term: term.place)
    if not others:
        return psum + low.above(0)
    (high,) = others
    end = low.place + len(low.value)
    if low.value.shape().signed or end <= high.place:
        return psum + low.above(0) + high.above(0)
    meet = end - high.place
    unsigned = not high.value.shape().signed
    below, upper = low.above(0), _extend(high.value, max(meet, len(high.value) - 1 + unsigned) + 1)
    psum = _extend(psum, end + 1)
    three = [(psum[high.place + i], below[high.place + i], upper[i]) for i in range(meet)]
    sums = [a ^ b ^ c for a, b, c in three]
    carries = [a & b | a & c | b & c for a, b, c in three]
    first = Cat(psum[: high.place], sums, psum[end:]).as_signed()
    rest = _increment(upper[meet:], carries.pop())
    return first + Cat(below[: high.place], C(0, 1), carries, rest).as_signed()


def _extend(value: Value, width: int) -> Value:
    """Extend a value to at least `width` bits."""
    sign = value[-1] if value.shape().signed else C(0, 1)
    return Cat(value, sign.replicate(max(0, width - len(value))))


def _increment(value: Value, carry: Value) -> Value:
    """Add a carry to a signed value of few bits without a carry chain; the sum has one bit more."""
    bits = [*value, value[-1]]
    return Cat(bit ^ reduce(and_, bits[:i], carry) for i, bit in enumerate(bits))


def multiply_in_luts(platform: object, m: Module, act: Value, weight: Value, name: str) -> Value:
    """Multiply by a tree of adders: ``plan.lut_product_latency(len(weight))`` cycles."""
    terms = product_terms(platform, m, act, weight, name)
    (product,) = add_in_tree(m, terms, name)
    return product.above(0)
