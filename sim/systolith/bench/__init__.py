"""Benches: cocotb and the native Verilator driver."""

from systolith.bench.cocotb_runner import StreamModel, StreamRun, StreamTrace, build_streams
from systolith.bench.errors import BenchError, BuildError, MissingToolError, SimulationError
from systolith.bench.native import NativeModel, NativeResult, build_native
from systolith.bench.payload import check_images, from_words, to_words
from systolith.bench.stalls import BURSTS, NEVER, NONE, PATTERNS, RANDOM, Pause, Stalls
from systolith.bench.toolchain import Toolchain, find_toolchain
from systolith.bench.wrapper import streams
from systolith.watch.rules import Rule, Violation

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
    "StreamModel",
    "StreamRun",
    "StreamTrace",
    "Toolchain",
    "Violation",
    "build_native",
    "build_streams",
    "check_images",
    "find_toolchain",
    "from_words",
    "streams",
    "to_words",
]
