"""From PyTorch modules to the contract, and the PyTorch model in integer mode."""

from systolith.frontend.integer import IntegerGraph, IntegerModel
from systolith.frontend.lower import lower
from systolith.frontend.mirror import mirror

__all__ = ["IntegerGraph", "IntegerModel", "lower", "mirror"]
