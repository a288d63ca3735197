"""Unexpected errors: in the user's code, of the installation, or faults of systolith."""

import shlex
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from traceback import FrameSummary

from rich.console import Console

from systolith.cli.errors.extras import extra_of, install_command
from systolith.cli.errors.failures import BAD_USAGE, describe_full_disk, print_error

__all__ = ["OUR_FAULT", "find_user_frame", "report_faults"]

OUR_FAULT = 3
"""Exit code of a fault of systolith."""


@contextmanager
def report_faults(console: Console, *, traceback: bool = False) -> Iterator[None]:
    """Turn any exception of the block into a message and an exit code, as the last resort.

    Parameters
    ----------
    console : Console
        Prints the message.
    traceback : bool
        Whether to print the traceback, too.
    """
    try:
        yield
    except Exception as error:
        code, text = _judge(error)
        print_error(console, text, traceback=traceback)
        sys.exit(code)


def find_user_frame(error: BaseException) -> FrameSummary | None:
    """Find the innermost frame in the user's code, as far as systolith has called it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [number for number, frame in enumerate(frames) if _is_ours(frame)]
    theirs = [frame for frame in frames[ours[0] :] if _is_users(frame)] if ours else []
    return theirs[-1] if theirs else None


def _judge(error: Exception) -> tuple[int, str]:
    """Decide whose error it is; return the exit code and the message."""
    what = _one_line(error)
    if (full := describe_full_disk(what)) is not None:
        return BAD_USAGE, full
    if (frame := find_user_frame(error)) is not None:
        source = f"\n    {frame.line}" if frame.line else ""
        place = f"{frame.filename}, line {frame.lineno}, in {frame.name}"
        return BAD_USAGE, f"your code raised {what}\n  {place}{source}"
    if isinstance(error, SyntaxError) and error.filename is not None:
        source = f"\n    {error.text.strip()}" if error.text else ""
        return BAD_USAGE, f"{error.msg}\n  {error.filename}, line {error.lineno}{source}"
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if isinstance(error, ModuleNotFoundError) and package not in ("", "systolith"):
        if (needed := extra_of(package)) is not None:
            extra, wheel = needed
            return BAD_USAGE, f"this command needs {wheel}: {install_command(extra)}"
        return BAD_USAGE, (
            f"the Python package '{package}' is not installed; `systolith doctor` lists what is "
            f"missing, and how to get it"
        )
    return OUR_FAULT, _our_fault(error, what)


def _our_fault(error: Exception, what: str) -> str:
    text = "".join(traceback.format_exception(error))
    command = shlex.join(["systolith", *sys.argv[1:]])
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="systolith-error-", suffix=".txt", delete=False
        ) as file:
            file.write(f"{command}\n{text}")
        kept = f"The traceback is in {file.name}: please report it, with your files if you can."
    except OSError:
        kept = "Please report what --traceback shows, with your files if you can."
    return f"this is a fault of systolith, not yours: {what}\n{kept}"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_ours(frame: FrameSummary) -> bool:
    folders = [Path(folder) for folder in import_module("systolith").__path__]
    return any(Path(frame.filename).is_relative_to(folder) for folder in folders)


def _is_users(frame: FrameSummary) -> bool:
    """Whether a frame belongs neither to systolith nor to Python and its packages."""
    path = Path(frame.filename)
    paths = sysconfig.get_paths()
    installed = (paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"])
    return (
        not frame.filename.startswith("<")
        and not _is_ours(frame)
        and "site-packages" not in path.parts
        and not any(path.is_relative_to(folder) for folder in installed)
    )
