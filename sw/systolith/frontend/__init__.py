"""Lowering of quantized models to integer networks, and integer networks in PyTorch."""

from systolith.frontend.integer import IntegerGraph, IntegerModel
from systolith.frontend.lowering import lower
from systolith.frontend.mirroring import mirror

__all__ = ["IntegerGraph", "IntegerModel", "lower", "mirror"]
