"""Test benches on Verilator: cocotb with a monitor on each stream, and a native driver."""

from systolith.bench.cocotb_runner import StreamModel, StreamRun, StreamTrace, compile_streams
from systolith.bench.errors import BenchError, CompileError, MissingToolError, SimulationError
from systolith.bench.native import NativeModel, NativeResult, compile_native
from systolith.bench.native_run import SimulationProgress
from systolith.bench.payload import check_images, from_words, to_words
from systolith.bench.stalls import BURSTS, NEVER, NONE, PATTERNS, RANDOM, Pause, Stalls
from systolith.bench.toolchain import Toolchain, find_toolchain
from systolith.bench.wrapper import streams
from systolith.watch import StreamRule, Violation

__all__ = [
    "BURSTS",
    "NEVER",
    "NONE",
    "PATTERNS",
    "RANDOM",
    "BenchError",
    "CompileError",
    "MissingToolError",
    "NativeModel",
    "NativeResult",
    "Pause",
    "SimulationError",
    "SimulationProgress",
    "Stalls",
    "StreamModel",
    "StreamRule",
    "StreamRun",
    "StreamTrace",
    "Toolchain",
    "Violation",
    "check_images",
    "compile_native",
    "compile_streams",
    "find_toolchain",
    "from_words",
    "streams",
    "to_words",
]
