"""Benches: cocotb and the native Verilator driver."""

from systolith.bench.errors import BenchError, BuildError, MissingToolError, SimulationError
from systolith.bench.native import NativeModel, NativeResult, build_native
from systolith.bench.rules import Rule, Violation
from systolith.bench.stalls import BURSTS, NEVER, NONE, PATTERNS, RANDOM, Pause, Stalls

__all__ = [
    "BURSTS",
    "NEVER",
    "NONE",
    "PATTERNS",
    "RANDOM",
    "BenchError",
    "BuildError",
    "MissingToolError",
    "NativeModel",
    "NativeResult",
    "Pause",
    "Rule",
    "SimulationError",
    "Stalls",
    "Violation",
    "build_native",
]
