"""Parts that stages are counted in, and those that several kinds of stages have."""

from collections import Counter
from collections.abc import Mapping
from math import ceil

from systolith.plan.sizes.latency import lut_terms
from systolith.plan.sizes.memory import Memories

__all__ = [
    "LutsAndFlipFlops",
    "Parts",
    "add_parts",
    "buffer_parts",
    "chain_luts",
    "counter_bits",
    "double_buffer_parts",
    "join_parts",
    "lut_terms_luts",
    "lut_tree_sums",
    "queue_parts",
    "select_luts",
]

Parts = Mapping[str, int]
"""Number of each part, by name. Names that end in ``bits`` count bits, others things."""
LutsAndFlipFlops = tuple[Counter[str], Counter[str]]
"""Parts in LUTs, and parts in flip-flops."""


def add_parts(*several: Parts) -> Counter[str]:
    """Add up the numbers of equal parts."""
    total: dict[str, int] = {}
    for parts in several:
        for part, number in parts.items():
            total[part] = total.get(part, 0) + number
    return Counter(total)


def join_parts(*several: LutsAndFlipFlops) -> LutsAndFlipFlops:
    """Add up the parts of both kinds."""
    return add_parts(*(luts for luts, _ in several)), add_parts(*(others for _, others in several))


def counter_bits(count: int) -> int:
    """Width of a counter."""
    return (count - 1).bit_length()


def chain_luts(bits: int) -> int:
    """LUTs of a carry chain: pairs of bits, and one place for the first carry."""
    return bits + (1 if bits % 2 else 2)


def lut_terms_luts(factor_bits: int, weight_bits: int) -> int:
    """LUTs of the terms of a product in LUTs; the lowest bit of a term is no part of its chain."""
    return lut_terms(weight_bits) * (chain_luts(factor_bits + 1) + 1)


def lut_tree_sums(factor_bits: int, weight_bits: int) -> list[int]:
    """Widths of the sums of the terms of a product in LUTs, from the leaves of a tree."""
    apart, sums = 2, list[int]()
    level = lut_terms(weight_bits)
    while level > 1:
        # The lowest bits of the lower term pass by.
        sums += [factor_bits + apart + 1] * (level // 2)
        level, apart = ceil(level / 2), 2 * apart
    return sums


def select_luts(parts: int) -> int:
    """LUTs for each bit of a multiplexer with `parts` inputs."""
    return ceil(parts / 2) + parts // 8 if parts > 1 else 0


def queue_parts(depth: int, width: int) -> LutsAndFlipFlops:
    """Count a queue in LUTs: its memory, two places and a level."""
    memory = Memories(count=1, depth=depth, width=width).luts(written=True)
    places = 2 * counter_bits(depth) + depth.bit_length()
    return (
        Counter({"queue": 1, "place bits": places, "RAM": memory}),
        Counter({"register bits": places}),
    )


def double_buffer_parts(bits: int) -> LutsAndFlipFlops:
    """Count two registers of `bits` bits, the flags around them, and the choice of one."""
    luts = Counter({"double buffer": 1, "selected bits": bits})
    return luts, Counter({"double buffer": 1, "register bits": 2 * bits})


def buffer_parts(depth: int, width: int) -> LutsAndFlipFlops:
    """Count an output buffer: a queue, the registers behind it, and what can be promised."""
    spare = depth.bit_length() + 1
    promises = Counter({"promise": 1, "place bits": spare}), Counter({"register bits": spare + 2})
    return join_parts(queue_parts(depth, width), double_buffer_parts(width), promises)
