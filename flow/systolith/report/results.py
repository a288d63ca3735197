"""Results of the stages, as typed sections of a report; each reads and writes its part of JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from systolith.build import ResourceUse
from systolith.report.utilization import UtilizationRow

__all__ = [
    "AccuracyResult",
    "BuiltDevice",
    "CheckResult",
    "DesignHashes",
    "PlacedClock",
    "StageTime",
    "VerificationResult",
]

IMAGES = "_images"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyResult:
    """Shares of images that are classified correctly.

    Attributes
    ----------
    shares : mapping of str to float
        By state of the network: ``float``, ``pruned``, ``integer`` and ``rtl``; 0..1.
    images : mapping of str to int
        Number of images by state, where not all test images were classified.
    test_images : int or None
        None for saved networks, which come without a test set.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, int] = field(default_factory=dict)
    test_images: int | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the section ``accuracy``."""
        counts = {key: content[key] for key in content if key.endswith(IMAGES)}
        return cls(
            shares={key: share for key, share in content.items() if key not in counts},
            test_images=counts.pop(f"test{IMAGES}", None),
            images={key.removesuffix(IMAGES): count for key, count in counts.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the section ``accuracy``."""
        counts = {f"{state}{IMAGES}": count for state, count in self.images.items()}
        if self.test_images is not None:
            counts[f"test{IMAGES}"] = self.test_images
        return {**self.shares, **counts}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One comparison by equality.

    Attributes
    ----------
    name, what : str
        The check, and the amount of data that it compared.
    hardware : bool
        Whether RTL or a netlist ran.
    passed : bool
    findings : tuple of str
        The first differences.
    """

    name: str
    hardware: bool
    what: str
    passed: bool
    findings: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read an entry of ``verification.checks``."""
        return cls(**{**content, "findings": tuple(content.get("findings", ()))})

    def to_json(self) -> dict[str, Any]:
        """Return an entry of ``verification.checks``."""
        return {**asdict(self), "findings": list(self.findings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """All comparisons of a run.

    Attributes
    ----------
    checks : tuple of CheckResult
    images, mismatches : int or None
        Images of the last check, and values that differed in all.
    cycles_predicted, cycles_simulated : int or None
        Of the bulk simulation.
    images_per_second : float or None
        Speed of the bulk simulation.
    """

    checks: tuple[CheckResult, ...] = ()
    images: int | None = None
    mismatches: int | None = None
    cycles_predicted: int | None = None
    cycles_simulated: int | None = None
    images_per_second: float | None = None

    @property
    def passed(self) -> bool | None:
        """Whether every check passed; None before any has run."""
        return all(check.passed for check in self.checks) if self.checks else None

    @property
    def hardware(self) -> bool:
        """Whether RTL or a netlist ran."""
        return any(check.hardware for check in self.checks)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the section ``verification``."""
        counts = {key: content[key] for key in content if key not in ("checks", *DERIVED)}
        checks = tuple(CheckResult.from_json(check) for check in content.get("checks", ()))
        return cls(checks=checks, **counts)

    def to_json(self) -> dict[str, Any]:
        """Return the section ``verification``."""
        counts = _known({**_shallow(self), "checks": None})
        if not self.checks:
            return counts
        checks = [check.to_json() for check in self.checks]
        return {"checks": checks, "passed": self.passed, "hardware": self.hardware, **counts}


DERIVED = ("passed", "hardware")
"""Keys of ``verification`` that follow from the checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """A stage of the run.

    Attributes
    ----------
    name : str
    seconds : float
        Wall-clock time. A cached stage has the time that it took when it ran.
    cached : bool
    reasons : tuple of str
        Reasons why the stage ran again although there was an earlier result.
    """

    name: str
    seconds: float
    cached: bool
    reasons: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read an entry of ``stages``."""
        return cls(**{**content, "reasons": tuple(content.get("reasons", ()))})

    def to_json(self) -> dict[str, Any]:
        """Return an entry of ``stages``."""
        return {**asdict(self), "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignHashes:
    """What identifies a design.

    Attributes
    ----------
    network_hash : str
        Of all integers of the network.
    circuit_hash : str
        Of the Verilog without the content of memories. Networks that differ only in their weights
        may have the same.
    """

    network_hash: str
    circuit_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedClock:
    """Results of place and route.

    Attributes
    ----------
    clock_mhz : float
        Required clock.
    timing_met : bool
    fmax_mhz : mapping of str to float
        Clock by placement seed.
    fmax_mhz_best, fmax_mhz_median : float
    best_seed : int
    placer : str
    best_router : str
        Router of the best clock.
    routes : mapping of str to mapping of str to float
        Clock by seed and router.
    unfinished : tuple of str
        Seeds and routers that had no result when the time was over.
    tools : tuple of mapping
        Name and version of each program that ran, and whether it was on PATH instead of a wheel.
    untimed : str or None
        Paths that the clocks leave out.
    frames_per_second, frames_per_second_at_target : float
        At the best clock, and at the required one.
    available : mapping of str to int
        By cell type of the device.
    critical_path : str or None
    engines : tuple of UtilizationRow
        Empty if the placement was not read.
    """

    clock_mhz: float
    timing_met: bool
    fmax_mhz: Mapping[str, float]
    fmax_mhz_best: float
    fmax_mhz_median: float
    best_seed: int
    frames_per_second: float
    frames_per_second_at_target: float
    available: Mapping[str, int]
    critical_path: str | None
    engines: tuple[UtilizationRow, ...] = ()
    placer: str = "heap"
    best_router: str = "router1"
    routes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    untimed: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the keys of the section ``build`` that only a placed design has."""
        return {
            **_shallow(self),
            "engines": [asdict(row) for row in self.engines],
            "unfinished": list(self.unfinished),
            "tools": list(self.tools),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltDevice:
    """Results of synthesis, and of place and route where a tool places on the device.

    Attributes
    ----------
    part : str
    board : str or None
    used : mapping of str to int
        By cell type.
    resources : tuple of ResourceUse
    bitstream : str or None
        Name of the file; None if the clock was not reached.
    placed : PlacedClock or None
        None for an estimate by synthesis.
    """

    part: str
    board: str | None
    used: Mapping[str, int]
    resources: tuple[ResourceUse, ...]
    bitstream: str | None
    placed: PlacedClock | None = None

    @property
    def timing_met(self) -> bool | None:
        """Whether the clock is reached; None for an estimate."""
        return None if self.placed is None else self.placed.timing_met

    @property
    def target(self) -> str:
        """The board, or else the part."""
        return self.board or self.part

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the section ``build``."""
        placed = None
        if not content["estimate"]:
            values = {key: content[key] for key in PlacedClock.__slots__ if key in content}
            rows = tuple(UtilizationRow(**row) for row in content.get("engines", ()))
            for key in ("unfinished", "tools"):
                values[key] = tuple(values.get(key, ()))
            placed = PlacedClock(**{**values, "engines": rows})
        return cls(
            part=content["part"],
            board=content["board"],
            used=content["used"],
            resources=tuple(ResourceUse(**use) for use in content["resources"]),
            bitstream=content["bitstream"],
            placed=placed,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the section ``build``."""
        return {
            "part": self.part,
            "board": self.board,
            "estimate": self.placed is None,
            **({} if self.placed is None else self.placed.to_json()),
            "used": dict(self.used),
            "bitstream": self.bitstream,
            "resources": [asdict(use) for use in self.resources],
        }


def _shallow(section: Any) -> dict[str, Any]:
    """Return the fields of a section by name."""
    return {name: getattr(section, name) for name in section.__dataclass_fields__}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
