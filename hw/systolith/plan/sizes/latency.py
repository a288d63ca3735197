"""Latencies of the parts of engines, in cycles: the numbers that plan and gateware agree on."""

from math import ceil

from systolith.plan.sizes.partial_products import FACTOR_BITS

__all__ = [
    "ARRIVE_LATENCY",
    "BLOCK_LATENCY",
    "BUFFER_LATENCY",
    "COLLECT_LATENCY",
    "CREDIT_LATENCY",
    "DEEP_LATENCY",
    "DEEP_ROOM_LATENCY",
    "ENTRANCE_DEPTH",
    "ENTRANCE_LATENCY",
    "FETCH_LATENCY",
    "FREE_LATENCY",
    "GATHER_LATENCY",
    "MULTIPLIER_LATENCY",
    "PE_LATENCY",
    "POOL_LATENCY",
    "PREFETCHED",
    "PSUM_TERMS",
    "READ_LATENCY",
    "REFILL_LATENCY",
    "ROUNDED_LATENCY",
    "SPLIT_LATENCY",
    "SUM_LATENCY",
    "TABLE_LATENCY",
    "THRESHOLD_LATENCY",
    "WEIGH_LATENCY",
    "lut_product_latency",
    "lut_sum_latency",
    "lut_terms",
    "multiplier_latency",
    "requantize_latency",
    "threshold_latency",
]

ARRIVE_LATENCY = 3
"""From a pixel's last input transfer until a pass that reads the pixel may start."""
READ_LATENCY = 7
"""From the issue of a step to the activations at column 0 of row 0."""
FREE_LATENCY = 4
"""From the issue of a pixel's last step in row 0 until the window's writer knows of the room."""
REFILL_LATENCY = ARRIVE_LATENCY + FREE_LATENCY
"""From a pixel's last step in row 0 until a pass may read what arrived in its place, at best."""
FETCH_LATENCY = 1
"""A PE that gathers reads its window one cycle later than a row reads its memory."""

MULTIPLIER_LATENCY = 4
"""From factors to product: three registers in the multiplier, one in the fabric."""
PARTS_LATENCY = 1
"""From the products of parts of a wide factor to their sum; multipliers can be far from LUTs."""
PE_LATENCY = 2
"""From the activations of a PE to its partial sum, without the multiplication."""
PSUM_TERMS = 2
"""Terms that a PE whose products are in LUTs adds to its partial sum at once."""
COLLECT_LATENCY = 1
"""From a column's held result to the requantizer."""
SUM_LATENCY = 1
"""From the scaled inputs of an addition to their sum."""
TABLE_LATENCY = 3
"""From a transfer to the values of its table: the address, and two registers of the memory."""
POOL_LATENCY = 1
"""From the activations of a pool's last tap to its maximum or sum."""
BLOCK_LATENCY = 4
"""From the issue of a step to the word that a line buffer gives: step, address, memory."""


WEIGH_LATENCY = 2
"""From the sum of a window to that sum times the factors of its row and column."""
AROUND_MULTIPLIER = 5
"""Of a requantizer without its multiplier: parameters, bias, shift, rounding, clamp."""

TWICE_LATENCY = 1
"""Of a requantizer that rounds twice, as TFLite does."""
THRESHOLD_LATENCY = 3
"""Of each bit of a count of thresholds: address, memory, comparison."""
ROUNDED_LATENCY = 2
"""From the products of an addition to rounded ones."""

ENTRANCE_LATENCY = 1
"""From a transfer into a register in front of an engine with two inputs until it can be joined."""
ENTRANCE_DEPTH = 2
"""Transfers of one input that wait in these registers."""
BUFFER_LATENCY = 2
"""From a write into an output buffer to its offer."""
CREDIT_LATENCY = 3
"""From an output transfer until a pass that needs its room may start."""
GATHER_LATENCY = 1
"""From the transfer that completes a wide one to the offer of that."""
SPLIT_LATENCY = 2
"""From a wide transfer to the offer of its first part."""
DEEP_LATENCY = 4
"""From a transfer into a queue of block memory to its offer."""
DEEP_ROOM_LATENCY = 2
"""From a transfer out of a queue of block memory until its room can be used again."""
PREFETCHED = 5
"""Transfers that a queue of block memory reads ahead: a read and its credit take as many cycles."""


def multiplier_latency(*factor_bits: int) -> int:
    """Cycles from two factors of these widths to their product."""
    return MULTIPLIER_LATENCY + (PARTS_LATENCY if max(factor_bits) > FACTOR_BITS else 0)


def lut_terms(bits: int) -> int:
    """Terms of a product in LUTs: one for two bits of a factor of `bits`."""
    return ceil(bits / 2)


def lut_sum_latency(terms: int, left: int = 1) -> int:
    """Cycles from factors until at most `left` sums of their terms are left.

    The terms take a cycle, and each level of a tree of adders another one.
    """
    latency = 1
    while terms > left:
        terms, latency = ceil(terms / 2), latency + 1
    return latency


def lut_product_latency(bits: int) -> int:
    """Cycles of a product in LUTs with a factor of `bits`."""
    return lut_sum_latency(lut_terms(bits))


def requantize_latency(factor_bits: int, scale_bits: int, *, rounds_twice: bool = False) -> int:
    """Cycles from accumulator to activation.

    Parameters
    ----------
    factor_bits : int
        Width of the sum that is scaled.
    scale_bits : int
        Width of the multiplier; 0 if there is none.
    rounds_twice : bool
    """
    twice = TWICE_LATENCY if rounds_twice else 0
    scaling = multiplier_latency(factor_bits, scale_bits) if scale_bits else 0
    return AROUND_MULTIPLIER + scaling + twice


def threshold_latency(bits: int) -> int:
    """Cycles from accumulator to a count of thresholds that has `bits` bits."""
    # The first address comes one cycle before the accumulator.
    return THRESHOLD_LATENCY * bits - 1
