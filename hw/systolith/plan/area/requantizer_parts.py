"""Parts of requantizers and of their parameters.

Registers are counted as the gateware has them. What a constant shift drops is not kept, and what
is alike for all channels is no memory. All roundings to nearest count alike.
"""

from collections import Counter

from systolith.plan.area.parts import (
    LutsAndFlipFlops,
    chain_luts,
    join_parts,
    lut_terms_luts,
    lut_tree_sums,
)
from systolith.plan.sizes.latency import (
    MULTIPLIER_LATENCY,
    THRESHOLD_LATENCY,
    lut_product_latency,
    lut_terms,
)
from systolith.plan.sizes.memory import Memories, MemoryKind
from systolith.plan.sizes.partial_products import partial_products
from systolith.plan.sizes.requantizer_plan import RequantizerPlan
from systolith.plan.sizes.threshold_search import ThresholdSearch

__all__ = ["partial_registers", "partial_sum_adders", "requantizer_parts", "search_of"]

FIRST_SHIFT = 31
"""Bits that the first of TFLite's two roundings drops."""


def requantizer_parts(
    plan: RequantizerPlan, lanes: int, transfers: int, reloadable: bool
) -> LutsAndFlipFlops:
    """Count the requantizers of all lanes, with their parameters.

    Parameters
    ----------
    plan : RequantizerPlan
    lanes : int
        Requantizers.
    transfers : int
        Channels of each.
    reloadable : bool
    """
    if plan.threshold_bits:
        return _thresholds(search_of(plan, lanes, transfers), reloadable)
    return join_parts(
        _scaling(plan, lanes, chosen=reloadable or transfers > 1),
        _parameters(plan.varied_bits, lanes, transfers, reloadable),
    )


def search_of(plan: RequantizerPlan, lanes: int, transfers: int) -> ThresholdSearch:
    """Describe the search for thresholds."""
    return ThresholdSearch(
        bits=plan.threshold_bits, lanes=lanes, transfers=transfers, sum_bits=plan.sum_bits
    )


def partial_sum_adders(first: int, second: int) -> list[int]:
    """Widths of the adders of partial products, if factors are wider than a multiplier's."""
    return [first + second - part.place for part in partial_products(first, second)[1:]]


def partial_registers(first: int, second: int, dropped: int = 0) -> list[int]:
    """Widths of the registers of partial products, if there are several; low bits are dropped."""
    products = partial_products(first, second)
    if len(products) == 1:
        return []
    return [part.width - max(dropped - part.place, 0) for part in products]


def _scaling(plan: RequantizerPlan, lanes: int, *, chosen: bool) -> LutsAndFlipFlops:
    """Count adders, shift and clamp, and the registers between them.

    `chosen` says whether parameters change from transfer to transfer.
    """
    # One bit of the fraction is kept for rounding.
    kept = max(plan.product_bits - max(plan.least_shift - 1, 0), 1)
    whole = kept - 1
    adders, multiplied = [kept], 0
    registers = [plan.sum_bits, kept, whole, plan.output_bits]
    if plan.scale_bits:
        adders += partial_sum_adders(plan.factor_bits, plan.scale_bits)
        dropped = max(plan.least_shift - 1, 0)
        registers += [kept, *partial_registers(plan.factor_bits, plan.scale_bits, dropped)]
        for part in partial_products(plan.factor_bits, plan.scale_bits):
            if part.in_luts:
                wide, narrow = max(part.bits), min(part.bits)
                sums = lut_tree_sums(wide, narrow)
                multiplied += lut_terms_luts(wide, narrow) + sum(map(chain_luts, sums))
                late = MULTIPLIER_LATENCY - 1 - lut_product_latency(narrow)
                registers += [lut_terms(narrow) * (wide + 2), *sums, late * part.width]
    if plan.offset_bits:
        adders += [kept]
        registers += [kept]
    else:
        adders += [plan.factor_bits] * plan.adds_bias
        registers += [plan.factor_bits if plan.adds_bias else plan.sum_bits]
    if plan.rounds_twice and (plan.shift_bits or plan.least_shift > FIRST_SHIFT):
        adders += [plan.product_bits - FIRST_SHIFT + 1]
        registers += [kept]
    luts = Counter(
        {
            "adders": lanes * len(adders),
            "summed bits": lanes * sum(adders),
            "shifted bits": lanes * plan.shift_bits * kept,
            "clamped bits": lanes * max(whole, plan.output_bits),
            "multiplied bits": lanes * multiplied,
        }
    )
    if plan.has_slopes:
        luts["selected bits"] = lanes * plan.scale_bits if chosen else lanes
    delayed = plan.shift_bits * (2 + plan.scale_latency)
    return luts, Counter({"register bits": lanes * (sum(registers) + delayed * chosen)})


def _parameters(varied: int, lanes: int, transfers: int, reloadable: bool) -> LutsAndFlipFlops:
    """Count the memories of `varied` bits of each channel."""
    if reloadable:
        memory = Memories(count=lanes, depth=transfers, width=varied)
        luts = Counter({"RAM": memory.luts(written=True), "loading": memory.load_luts})
        held = 2 * memory.count * memory.width
        return luts, Counter({"loading": memory.load_luts, "register bits": held})
    # All lanes have the same address, so that columns of equal contents are one.
    columns = min(lanes * varied, (1 << min(transfers, 32)) - 2)
    if not columns:
        return Counter(), Counter()
    memory = Memories(count=1, depth=transfers, width=columns)
    # A column of two words is its address, or the inverse.
    rom = memory.luts(written=False) if transfers > 2 else 0
    return Counter({"ROM": rom}), Counter({"register bits": 2 * columns})


def _thresholds(search: ThresholdSearch, reloadable: bool) -> LutsAndFlipFlops:
    """Count comparisons, the sums on their way along the stages, and thresholds that they meet."""
    sums = search.sum_bits * (THRESHOLD_LATENCY * (search.bits - 1) + 1)
    counts = sum(THRESHOLD_LATENCY * stage + 1 for stage in range(search.bits))
    comparisons = search.lanes * search.bits
    luts = Counter({"adders": comparisons, "compared bits": comparisons * search.width})
    flip_flops = Counter({"register bits": search.lanes * (sums + counts)})
    for memory, kind in search.memories:
        if kind is MemoryKind.DISTRIBUTED and (memory.depth > 1 or reloadable):
            luts["RAM" if reloadable else "ROM"] += memory.luts(written=reloadable)
            flip_flops["register bits"] += 2 * memory.count * memory.width
        if reloadable:
            luts["loading"] += memory.load_luts
            flip_flops["loading"] += memory.load_luts
    return luts, flip_flops
