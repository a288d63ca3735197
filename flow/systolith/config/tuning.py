"""The [tune] section: what a search chooses, its objectives, and its limits."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from systolith.config.pruning import RuleSection
from systolith.config.section import Count, Positive, Section, Share
from systolith.devices import DEVICES

__all__ = [
    "LayersSection",
    "ObjectiveName",
    "PatternSection",
    "SamplerName",
    "TuneHardwareSection",
    "TuneSection",
]

WeightBits = Annotated[int, Field(ge=1, le=8)]
ActBits = Annotated[int, Field(ge=2, le=8)]
Method = Literal["magnitude", "sr-ste", "dpp"]


class ObjectiveName(StrEnum):
    """Objectives of a search."""

    ACCURACY = "accuracy"
    FPS = "fps"
    LATENCY = "latency"
    CYCLES = "cycles"
    MULTIPLIERS = "multipliers"
    DSPS = "dsps"
    LUTS = "luts"
    BLOCK_RAMS = "block_rams"
    MODEL_BITS = "model_bits"


class SamplerName(StrEnum):
    """Samplers, which propose points."""

    NSGA2 = "nsga2"
    NSGA3 = "nsga3"
    TPE = "tpe"
    GP = "gp"
    RANDOM = "random"


class PatternSection(Section):
    """k out of n, as in a pruning rule."""

    k: Count
    n: Count | None = None
    granularity: Literal["weight", "kernel", "neuron"] = "weight"
    shared_by: Count = 1

    @model_validator(mode="after")
    def _check_rule(self) -> "PatternSection":
        self.rule()
        return self

    def rule(self) -> RuleSection:
        """The pruning rule that gives layers this pattern."""
        return RuleSection(layers=".*", **self.model_dump())


class LayersSection(Section):
    """Choices for matching layers, together or for each layer separately."""

    layers: str
    """Regular expression for whole layer names."""
    each: bool = False
    dense: bool = True
    """Whether layers may stay dense."""
    patterns: tuple[PatternSection, ...] = Field(default=(), strict=False)
    strides: tuple[Count, ...] = Field(default=(), strict=False)
    """Keep every stride-th tap, with any pattern; 1: all."""
    weight_bits: tuple[WeightBits, ...] = Field(default=(), strict=False)
    act_bits: tuple[ActBits, ...] = Field(default=(), strict=False)
    """Empty: as [quantize] says."""

    @model_validator(mode="after")
    def _check_choices(self) -> "LayersSection":
        problems = []
        try:
            re.compile(self.layers)
        except re.error as error:
            problems.append(f"layers = {self.layers!r} is not a regular expression: {error}")
        if not (self.patterns or self.strides or self.weight_bits or self.act_bits):
            problems.append("needs patterns, strides, weight_bits or act_bits to choose from")
        if len(set(self.strides)) < len(self.strides):
            problems.append(f"strides must differ, got {', '.join(map(str, self.strides))}")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class TuneHardwareSection(Section):
    """Hardware to choose from; empty keys are as [hardware] says."""

    devices: tuple[str, ...] = Field(default=(), strict=False)
    multipliers: tuple[Count, ...] = Field(default=(), strict=False)
    """Most multipliers of all PE arrays together."""
    target_fps: tuple[Positive, ...] = Field(default=(), strict=False)
    """Frames per second that the smallest design must reach; needs clock_mhz."""
    clock_mhz: tuple[Positive, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _check_devices(self) -> "TuneHardwareSection":
        if unknown := [name for name in self.devices if name not in DEVICES]:
            raise ValueError(f"no such device {', '.join(unknown)}; there are {', '.join(DEVICES)}")
        return self


class TuneSection(Section):
    """A search over pruning and hardware together."""

    objectives: tuple[Annotated[ObjectiveName, Field(strict=False)], ...] = Field(
        default=(ObjectiveName.ACCURACY, ObjectiveName.FPS, ObjectiveName.LUTS), strict=False
    )
    limits: dict[Annotated[ObjectiveName, Field(strict=False)], Positive] = {}
    """Lower limits of objectives to maximize, and upper limits of objectives to minimize."""
    points: Count = 60
    """Points that are trained at the last fidelity."""
    minutes: Positive | None = None
    """Time after which no new points begin."""
    sampler: Annotated[SamplerName, Field(strict=False)] = SamplerName.NSGA2
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the sampler; training uses the seed of the experiment."""
    batch: Count = 16
    """Points that are proposed and trained together; a generation of NSGA."""
    candidates: Count = 8
    """Points drawn for each trained point; hardware model and sensitivity choose among them."""
    fidelities: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        default=(0.0, 0.1), strict=False
    )
    """Rising shares of the experiment's epochs; 0 is masks without training. Half of the points
    reach the next fidelity; results of the last one count."""
    warm_start: bool = True
    """Whether to begin with the dense design and with every pattern in all layers."""
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of the training images that measure accuracy; 0: the test images do."""
    judged_images: Count | None = None
    """Most images that measure accuracy; None: all of them."""
    images: Count | None = None
    """Training images of each point; None: all."""
    timeout_seconds: Positive = 3600.0
    """Time limit for training one point."""
    filters: tuple[Share, ...] = Field(default=(), strict=False)
    """Shares of each layer's filters that are kept."""
    methods: tuple[Method, ...] = Field(default=(), strict=False)
    """Pruning methods; empty: the method of the experiment's step, or sr-ste."""
    layers: tuple[LayersSection, ...] = Field(strict=False, min_length=1)
    hardware: TuneHardwareSection = TuneHardwareSection()

    @model_validator(mode="after")
    def _check_contradictions(self) -> "TuneSection":
        if problems := list(self._contradictions()):
            raise ValueError("; ".join(problems))
        return self

    def _contradictions(self) -> Iterator[str]:
        for name in ("objectives", "fidelities", "filters", "methods"):
            if len(set(given := getattr(self, name))) < len(given):
                yield f"{name} must differ, got {', '.join(map(str, given))}"
        if not self.objectives:
            yield "objectives must name at least one"
        if not self.fidelities or not _rises(self.fidelities):
            yield f"fidelities must rise, got {list(self.fidelities)}"
        accuracy = self.limits.get(ObjectiveName.ACCURACY)
        if accuracy is not None and accuracy > 1:
            yield f"limits.accuracy must be within 0..1, got {accuracy:g}"


def _rises(values: Sequence[float]) -> bool:
    return all(low < high for low, high in zip(values, values[1:], strict=False))
