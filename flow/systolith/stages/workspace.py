"""The output folder of an experiment: finished stages are cached by content.

Each stage leaves its files and a record ``stages/NAME.json``. The record holds everything that the
stage's result depends on, and a digest of each file. A stage for which all of that is unchanged is
not run again, and one that is run again can say why; an interrupted stage leaves no record.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systolith.foundation import replacing
from systolith.stages.inputs import Inputs, changes

__all__ = ["StageRecord", "Workspace", "key_of", "write_json", "write_text"]

MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What a stage left behind.

    Attributes
    ----------
    name, key : str
        The stage, and the hash of what its result depends on.
    seconds : float
        Wall-clock time when it ran.
    cached : bool
        Whether an earlier run was found.
    files : dict
        Digest of each file.
    result : dict
        JSON values for later stages and the report.
    reasons : tuple of str
        Why the stage ran again although there was an earlier result.
    """

    name: str
    key: str
    seconds: float
    cached: bool
    files: dict[str, str]
    result: dict[str, Any]
    reasons: tuple[str, ...] = ()


class Workspace:
    """The folder that the stages of one experiment read and write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stage(
        self,
        name: str,
        inputs: Inputs,
        files: Sequence[str],
        run: Callable[[], dict[str, Any]],
        reruns: Callable[[Sequence[str]], None] = lambda reasons: None,
    ) -> StageRecord:
        """Run a stage, or find its earlier result.

        Parameters
        ----------
        name : str
            Of the stage.
        inputs : Inputs
            All that decides the result.
        files : sequence of str
            What the stage writes, relative to the folder; folders end in ``/``.
        run : callable
            Does the work; returns JSON values.
        reruns : callable, optional
            Called with the reasons before a stage that has an earlier result runs again.
        """
        inputs = json.loads(json.dumps(inputs))  # as it is read again
        key = key_of(name, inputs)
        path = self._record_path(name)
        before = _read(path)
        reasons: tuple[str, ...] = ()
        if before is not None:
            reasons = tuple(self._reasons(before, inputs))
            if not reasons:
                return _found(name, key, before)
            reruns(reasons)
        path.unlink(missing_ok=True)
        start = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - start
        digests = {file: _digest_path(self.folder / file) for file in files}
        content = {"inputs": inputs, "seconds": seconds, "files": digests, "result": result}
        write_json(path, content)
        return StageRecord(
            name=name,
            key=key,
            seconds=seconds,
            cached=False,
            files=digests,
            result=result,
            reasons=reasons,
        )

    def record(self, name: str, inputs: Inputs) -> StageRecord | None:
        """Find the earlier result of a stage, if it counts."""
        inputs = json.loads(json.dumps(inputs))  # as it is read again
        before = _read(self._record_path(name))
        if before is None or any(self._reasons(before, inputs)):
            return None
        return _found(name, key_of(name, inputs), before)

    def clear(self, name: str) -> None:
        """Remove a stage's folder, so that nothing of an earlier run is left in it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def _record_path(self, name: str) -> Path:
        return self.folder / "stages" / f"{name}.json"

    def _reasons(self, before: dict[str, Any], inputs: Inputs) -> Iterator[str]:
        """Say why an earlier result does not count; nothing if it does."""
        yield from changes(before["inputs"], inputs)
        for file, digest in before["files"].items():
            if (now := _digest_path(self.folder / file)) != digest:
                yield f"its output {'is missing' if now == MISSING else 'was changed'}: {file}"


def _found(name: str, key: str, content: dict[str, Any]) -> StageRecord:
    return StageRecord(
        name=name,
        key=key,
        seconds=content["seconds"],
        cached=True,
        files=content["files"],
        result=content["result"],
    )


def key_of(name: str, inputs: Inputs) -> str:
    """Hash a stage's name and all that decides its result."""
    return _digest([name, inputs])


def _read(path: Path) -> dict[str, Any] | None:
    """Read a record; None if there is none, or it is damaged or of another version's."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and {"inputs", "seconds", "files", "result"} <= content.keys()
    return content if whole else None


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text)


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _digest_path(path: Path) -> str:
    """Hash a file, or all files of a folder; a missing one has the hash of its absence."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return _digest([[str(file.relative_to(path)), _digest_path(file)] for file in inside])
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else MISSING
