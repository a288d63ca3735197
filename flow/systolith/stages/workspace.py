"""The output folder of an experiment: finished stages are cached by content.

Each stage leaves its files and a record ``stages/NAME.json``. The record holds everything that
decides the stage's result, and a digest of each file. A stage runs again only if one of these has
changed, and it reports which. An interrupted stage leaves no record.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systolith.foundation import write_json
from systolith.stages.keys import Inputs, explain_changes

__all__ = ["StageRecord", "Workspace", "compute_key"]

MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """The result of a stage.

    Attributes
    ----------
    name, key : str
        Name of the stage, and the hash of everything that decides its result.
    seconds : float
        Wall-clock time that the stage took when it ran.
    cached : bool
        Whether the result is an earlier one.
    files : dict
        Digest of each file.
    result : dict
        JSON values for the report.
    reasons : tuple of str
        Why the stage ran again despite an earlier result.
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
        """Run a stage, or return its cached result.

        Parameters
        ----------
        name : str
            Name of the stage.
        inputs : Inputs
            Everything that decides the result.
        files : sequence of str
            Files that the stage writes, relative to the folder; names of folders end in ``/``.
        run : callable
            Does the work and returns JSON values.
        reruns : callable, optional
            Called with the reasons before a stage with an earlier result runs again.
        """
        inputs = json.loads(json.dumps(inputs))  # as the record holds them
        key = compute_key(name, inputs)
        path = self._record_path(name)
        before = _read(path)
        reasons: tuple[str, ...] = ()
        if before is not None:
            reasons = tuple(self._reasons(before, inputs))
            if not reasons:
                return _cached(name, key, before)
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
        """Return the cached result of a stage; None if there is none, or it is outdated."""
        inputs = json.loads(json.dumps(inputs))  # as the record holds them
        before = _read(self._record_path(name))
        if before is None or any(self._reasons(before, inputs)):
            return None
        return _cached(name, compute_key(name, inputs), before)

    def _record_path(self, name: str) -> Path:
        return self.folder / "stages" / f"{name}.json"

    def _reasons(self, before: dict[str, Any], inputs: Inputs) -> Iterator[str]:
        """Explain why an earlier result is outdated; nothing if it is not."""
        yield from explain_changes(before["inputs"], inputs)
        for file, digest in before["files"].items():
            if (now := _digest_path(self.folder / file)) != digest:
                yield f"its output {'is missing' if now == MISSING else 'was changed'}: {file}"


def _cached(name: str, key: str, content: dict[str, Any]) -> StageRecord:
    return StageRecord(
        name=name,
        key=key,
        seconds=content["seconds"],
        cached=True,
        files=content["files"],
        result=content["result"],
    )


def compute_key(name: str, inputs: Inputs) -> str:
    """Hash a stage's name and inputs."""
    return _digest([name, inputs])


def _read(path: Path) -> dict[str, Any] | None:
    """Read a record; None if it is missing, damaged, or from another version."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and {"inputs", "seconds", "files", "result"} <= content.keys()
    return content if whole else None


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _digest_path(path: Path) -> str:
    """Hash a file, or all files of a folder; a missing one has the hash of its absence."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return _digest([[str(file.relative_to(path)), _digest_path(file)] for file in inside])
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else MISSING
