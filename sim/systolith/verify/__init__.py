"""Comparison of simulated streams with the reference."""

from systolith.verify.mismatch import Mismatch, compare, first_mismatch
from systolith.verify.mutate import MemoryInit, flip_memory_bit, memories, substitute
from systolith.verify.verification import (
    PatternResult,
    Verification,
    VerificationError,
    verify,
)

__all__ = [
    "MemoryInit",
    "Mismatch",
    "PatternResult",
    "Verification",
    "VerificationError",
    "compare",
    "first_mismatch",
    "flip_memory_bit",
    "memories",
    "substitute",
    "verify",
]
