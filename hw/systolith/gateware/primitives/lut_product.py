"""Products in LUTs: trees of sums that bits of a factor switch on."""

from amaranth import C, Module, Shape, Value

from systolith.gateware.delay import delay_payload
from systolith.gateware.primitives.gated_sum import sum_gated

__all__ = ["multiply_in_luts"]


def multiply_in_luts(platform: object, m: Module, act: Value, weight: Value, name: str) -> Value:
    """Multiply by a tree of adders; the weight's highest bit has a negative value.

    Each leaf adds the activation for two bits of the weight. Each level of the tree ends in a
    register: ``plan.lut_product_latency(len(weight))`` cycles in all.
    """
    sums: list[Value] = []
    for place in range(0, len(weight), 2):
        low, *high = weight[place : place + 2]
        terms = ((act, low), (act.shift_left(1), high[0])) if high else ((C(0), C(0)), (act, low))
        negative = place + 2 >= len(weight)
        shape = Shape(len(act) + 2, signed=negative or act.shape().signed)
        leaf = sum_gated(platform, m, f"{name}_{place}", *terms, shape, negative=negative)
        sums.append(delay_payload(m, leaf, 1, name).shift_left(place))
    while len(sums) > 1:
        pairs = [sums[first : first + 2] for first in range(0, len(sums), 2)]
        sums = [
            delay_payload(m, first + second[0] if second else first, 1, name)
            for first, *second in pairs
        ]
    return sums[0]
