"""Cycles that the parts of engines take, which plan and gateware agree on."""

__all__ = [
    "ARRIVE_LATENCY",
    "CREDIT_LATENCY",
    "DEEP_LATENCY",
    "DEEP_ROOM_LATENCY",
    "MULTIPLIER_LATENCY",
    "PREFETCHED",
    "requantize_latency",
]

DEEP_LATENCY = 4
"""Cycles from a transfer into a queue of block memory to its offer."""
DEEP_ROOM_LATENCY = 2
"""Cycles from a transfer out of such a queue until it makes room."""
PREFETCHED = 5
"""Transfers that such a queue reads ahead: as many as a read and its credit take cycles."""

ARRIVE_LATENCY = 2
"""Cycles from a pixel's last transfer until a pass that reads it may start."""
CREDIT_LATENCY = 3
"""Cycles from an output transfer until a pass that needs its room may start."""
MULTIPLIER_LATENCY = 4
"""From factors to product: three registers in the multiplier, one in the fabric."""
AROUND_SCALE = 5
"""Of a requantizer, around its multiplier: parameters, bias, shift, rounding, clamp."""


def requantize_latency(scale_bits: int) -> int:
    """Cycles from accumulator to activation; `scale_bits` is 0 if there is no multiplier."""
    return AROUND_SCALE + (MULTIPLIER_LATENCY if scale_bits else 0)
