"""Builds and runs the top module of a board in Verilator."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from systolith.bench import find_toolchain
from systolith.bench.build_cache import built_once, content_key
from systolith.bench.compile import FLAGS, QUICK_FLAGS, check_folder, run_make, run_verilator
from systolith.bench.errors import SimulationError
from systolith.bench.runtime import RUNTIME, place_runtime

__all__ = ["VirtualBoard", "build_virtual_board"]

EXECUTABLE = "board"


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualBoard:
    """A compiled board.

    Parameters
    ----------
    executable : Path
    divisor : int
        Cycles per bit of its serial line.
    """

    executable: Path
    divisor: int

    @contextmanager
    def running(self) -> Iterator[str]:
        """Simulate while the block runs. Yields the name of the terminal to open.

        Raises
        ------
        SimulationError
            If it does not start.
        """
        command = [str(self.executable), str(self.divisor)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise SimulationError("the virtual board did not start")
            yield port
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def build_virtual_board(
    verilog: str, top: str, *, divisor: int, workdir: Path, quick: bool = False
) -> VirtualBoard:
    """Compile the Verilog of a board, or find what was compiled before.

    Parameters
    ----------
    verilog : str
        With ports `clk`, `rx`, `tx`; of the generic technology, or a netlist, so that `clk` is the
        design's.
    top : str
    divisor : int
        Cycles per bit of its serial line.
    workdir : Path
        Holds builds by content hash.
    quick : bool
        Compile in the least time, for a board that answers a few times.

    Raises
    ------
    MissingToolError, BuildError
    """
    workdir = check_folder(workdir)
    toolchain = find_toolchain()
    driver = files("systolith.virtual").joinpath("board.cpp").read_text()

    flags = QUICK_FLAGS if quick else FLAGS

    def build(folder: Path) -> None:
        (folder / "board.v").write_text(verilog)
        (folder / "driver.cpp").write_text(driver)
        options = ["--top-module", top, "--prefix", "Vboard", "-o", EXECUTABLE, "--Mdir", "obj"]
        make = place_runtime(toolchain, workdir, folder / "obj", RUNTIME, [], flags)
        run_verilator(toolchain, folder, [*options, "../driver.cpp", "board.v"])
        run_make(toolchain, folder / "obj", "Vboard.mk", [*make, EXECUTABLE])
        (folder / "obj" / EXECUTABLE).rename(folder / EXECUTABLE)

    key = content_key([verilog, driver, toolchain.identity, top, *flags])
    folder = workdir / f"virtual-{key}"
    built_once(folder, build, (EXECUTABLE,))
    return VirtualBoard(executable=folder / EXECUTABLE, divisor=divisor)
