"""Compile the top module of a board with Verilator and run it behind a pseudo-terminal."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from systolith.bench import find_toolchain
from systolith.bench.compile import (
    FLAGS,
    QUICK_FLAGS,
    RUNTIME,
    SPLIT,
    check_folder,
    place_runtime,
    run_make,
    run_verilator,
)
from systolith.bench.compile_cache import compile_once, content_key
from systolith.bench.errors import SimulationError

__all__ = ["SimulatedBoard", "compile_board"]

EXECUTABLE = "board"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedBoard:
    """A simulated board; made by :func:`compile_board`.

    Parameters
    ----------
    executable : Path
    divisor : int
        Clock cycles per bit of the serial line.
    """

    executable: Path
    divisor: int

    @contextmanager
    def running(self) -> Iterator[str]:
        """Simulate the board inside the block. Yields the name of its pseudo-terminal.

        Raises
        ------
        SimulationError
            If the simulator does not start.
        """
        command = [str(self.executable), str(self.divisor)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise SimulationError("the simulated board did not start")
            yield port
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def compile_board(
    verilog: str, top: str, *, divisor: int, workdir: Path, quick: bool = False
) -> SimulatedBoard:
    """Compile the Verilog of a board, unless its simulator is cached.

    Parameters
    ----------
    verilog : str
        Has ports `clk`, `rx` and `tx`. It uses the generic technology or is a netlist, so that
        `clk` is the clock of the design.
    top : str
    divisor : int
        Clock cycles per bit of the serial line.
    workdir : Path
        Holds simulators by content hash.
    quick : bool
        Compile without optimization, for a few requests.

    Raises
    ------
    MissingToolError, CompileError
    """
    workdir = check_folder(workdir)
    toolchain = find_toolchain()
    driver = files("systolith.netlist").joinpath("board.cpp").read_text()

    flags = QUICK_FLAGS if quick else FLAGS
    split = () if quick else SPLIT

    def make_simulator(folder: Path) -> None:
        (folder / "board.v").write_text(verilog)
        (folder / "driver.cpp").write_text(driver)
        options = ["--top-module", top, "--prefix", "Vboard", "-o", EXECUTABLE, "--Mdir", "obj"]
        make = place_runtime(toolchain, workdir, folder / "obj", RUNTIME, [], flags)
        run_verilator(toolchain, folder, [*options, *split, "../driver.cpp", "board.v"])
        run_make(toolchain, folder / "obj", "Vboard.mk", [*make, EXECUTABLE])
        (folder / "obj" / EXECUTABLE).rename(folder / EXECUTABLE)

    key = content_key([verilog, driver, toolchain.identity, top, *split, *flags])
    folder = workdir / f"board-{key}"
    compile_once(folder, make_simulator, (EXECUTABLE,))
    return SimulatedBoard(executable=folder / EXECUTABLE, divisor=divisor)
