"""Cycles that the parts of engines take, which plan and gateware agree on."""

__all__ = ["MULTIPLIER_LATENCY", "requantize_latency"]

MULTIPLIER_LATENCY = 4
"""From factors to product: three registers in the multiplier, one in the fabric."""
AROUND_SCALE = 4
"""Of a requantizer, around its multiplier: parameters, bias, shift, clamp."""


def requantize_latency(scale_bits: int) -> int:
    """Cycles from accumulator to activation; `scale_bits` is 0 if there is no multiplier."""
    return AROUND_SCALE + (MULTIPLIER_LATENCY if scale_bits else 0)
