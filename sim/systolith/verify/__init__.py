"""Comparison of simulated streams with the reference."""

from systolith.verify.mismatch import Mismatch, compare, first_mismatch
from systolith.verify.verification import (
    PatternResult,
    Verification,
    VerificationError,
    VerificationProgress,
    verify,
)

__all__ = [
    "Mismatch",
    "PatternResult",
    "Verification",
    "VerificationError",
    "VerificationProgress",
    "compare",
    "first_mismatch",
    "verify",
]
