"""The design space: axes with a few options each, and what they change in an experiment."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import product
from typing import Any

from torch import nn

from systolith.config import (
    Experiment,
    HardwareSection,
    LayersSection,
    PatternSection,
    RemovalStep,
    RuleSection,
    TuneSection,
    WeightSection,
)
from systolith.foundation import UsageError
from systolith.network import Pattern, WeightShape
from systolith.prune import StridedPattern, prunable_layers
from systolith.prune.decisions import weight_shape
from systolith.prune.filters_first import filter_weights
from systolith.stages.software.prunings import make_pattern

__all__ = [
    "DENSE",
    "METHOD",
    "Axis",
    "AxisKind",
    "DesignSpace",
    "Label",
    "LayerGroup",
    "SearchPoint",
]

DENSE, METHOD = "dense", "method"

Label = str | int | float
SearchPoint = Mapping[str, Label]
"""The chosen option of each axis, by the name of the axis."""


class AxisKind(Enum):
    """Half of the toolkit that an axis belongs to."""

    SOFTWARE = "software"
    HARDWARE = "hardware"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One choice.

    Parameters
    ----------
    name : str
    options : tuple of str, int or float
        At least one; the first is dense, the widest, or the default.
    kind : AxisKind
    """

    name: str
    options: tuple[Label, ...]
    kind: AxisKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroup:
    """Layers that share their choices.

    Parameters
    ----------
    name : str
    layers : tuple of str
        Qualified names.
    patterns : mapping of str to PatternSection or None
        Patterns that fit all the layers, by label; None is dense.
    strides : tuple of int
        Strides of taps that fit all the layers. If empty, all taps are kept.
    weight_bits, act_bits : tuple of int
        If empty, [quantize] sets them.
    """

    name: str
    layers: tuple[str, ...]
    patterns: Mapping[str, PatternSection | None]
    strides: tuple[int, ...]
    weight_bits: tuple[int, ...]
    act_bits: tuple[int, ...]

    @property
    def axes(self) -> Iterator[Axis]:
        """Axes of the group; choices without options have none."""
        for what, options in (
            ("pattern", tuple(self.patterns)),
            ("stride", self.strides),
            ("weight bits", self.weight_bits),
            ("activation bits", self.act_bits),
        ):
            if options:
                yield Axis(name=f"{self.name} {what}", options=options, kind=AxisKind.SOFTWARE)

    def rule(self, point: SearchPoint) -> RuleSection | None:
        """Return the pruning rule of a point; None if the layers stay dense."""
        section = self.patterns.get(str(point.get(f"{self.name} pattern", DENSE)))
        stride = int(point.get(f"{self.name} stride", 1))
        chosen = {} if section is None else section.model_dump(exclude_defaults=True)
        if stride > 1:
            chosen["stride"] = stride
        return RuleSection(layers=_match_exactly(self.layers), **chosen) if chosen else None

    def pattern(self, point: SearchPoint) -> Pattern | StridedPattern:
        """Return the pattern of a point."""
        rule = self.rule(point)
        return Pattern() if rule is None else make_pattern(rule)


@dataclass(frozen=True)
class DesignSpace:
    """The design space of an experiment: its [tune] section, applied to its model.

    Parameters
    ----------
    experiment : Experiment
        With a [tune] section.
    groups : tuple of LayerGroup
    """

    experiment: Experiment
    groups: tuple[LayerGroup, ...]

    @classmethod
    def of(cls, experiment: Experiment, model: nn.Module) -> "DesignSpace":
        """Apply [tune] to a model.

        Raises
        ------
        UsageError
            If there is no [tune], layers are named twice or not at all, a pattern fits no layer, or
            target_fps has no clock. The error lists all problems.
        """
        if experiment.tune is None:
            raise UsageError(f"experiment '{experiment.name}' needs a [tune] section, has none")
        problems: list[str] = []
        groups = tuple(_groups(experiment.tune, model, problems))
        taken: set[str] = set()
        for group in groups:
            if twice := taken & set(group.layers):
                problems.append(f"tune.layers: {', '.join(sorted(twice))} named twice")
            taken |= set(group.layers)
        problems += _hardware_problems(experiment)
        UsageError.raise_if_any(problems)
        return cls(experiment, groups)

    @property
    def section(self) -> TuneSection:
        """The [tune] section."""
        assert self.experiment.tune is not None
        return self.experiment.tune

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """All axes, those of layers first."""
        section, axes = self.section, [axis for group in self.groups for axis in group.axes]
        for name, options, kind in (
            ("filters", section.filters, AxisKind.SOFTWARE),
            (METHOD, section.methods, AxisKind.SOFTWARE),
            ("device", section.hardware.devices, AxisKind.HARDWARE),
            ("multipliers", section.hardware.multipliers, AxisKind.HARDWARE),
            ("target fps", section.hardware.target_fps, AxisKind.HARDWARE),
            ("clock MHz", section.hardware.clock_mhz, AxisKind.HARDWARE),
        ):
            if options:
                axes.append(Axis(name=name, options=tuple(options), kind=kind))
        return tuple(axes)

    @cached_property
    def hardware_points(self) -> tuple[SearchPoint, ...]:
        """All combinations of hardware options."""
        axes = [axis for axis in self.axes if axis.kind is AxisKind.HARDWARE]
        return tuple(
            dict(zip((axis.name for axis in axes), labels, strict=True))
            for labels in product(*(axis.options for axis in axes))
        )

    def software(self, point: SearchPoint) -> SearchPoint:
        """Return the part of a point that training depends on."""
        names = [axis.name for axis in self.axes if axis.kind is AxisKind.SOFTWARE]
        return {name: point[name] for name in names}

    @cached_property
    def uniform(self) -> tuple[tuple[str, SearchPoint], ...]:
        """Named points: all first options; each pattern and stride in all layers that it fits."""
        first = {axis.name: axis.options[0] for axis in self.axes if axis.kind is AxisKind.SOFTWARE}
        labels = dict.fromkeys(label for group in self.groups for label in group.patterns)
        points: dict[str, SearchPoint] = {DENSE: first}
        for label in labels:
            changed = {
                f"{group.name} pattern": label for group in self.groups if label in group.patterns
            }
            points.setdefault(label, {**first, **changed})
        for stride in dict.fromkeys(stride for group in self.groups for stride in group.strides):
            axes = [f"{group.name} stride" for group in self.groups if stride in group.strides]
            point = {**first, **dict.fromkeys(axes, stride)}
            if point != first:
                points[f"stride {stride}"] = point
        return tuple(points.items())

    def hardware(self, point: SearchPoint) -> HardwareSection:
        """Return the [hardware] section of a point."""
        content = self.experiment.hardware.model_dump() | self._hardware_changes(point)
        return HardwareSection.model_validate(content)

    def changes(self, point: SearchPoint, *, hardware: bool = True) -> dict[str, Any]:
        """Return the changes of an experiment file; without `hardware`, those of training only."""
        steps: list[dict[str, Any]] = [
            step.model_dump(mode="json", exclude_none=True)
            for step in self.experiment.prune
            if isinstance(step, RemovalStep)
        ]
        if (share := point.get("filters", 1.0)) != 1.0:
            steps.append({"method": "filters", "per_layer": True, "keep": share})
        if rules := list(self._rules(point)):
            steps.append({**self._template(point), "rules": rules})
        changes: dict[str, Any] = {"prune": steps}
        if layers := dict(self._bits(point)):
            changes["quantize"] = {"layers": layers}
        if hardware and (section := self._hardware_changes(point)):
            changes["hardware"] = section
        return changes

    def _rules(self, point: SearchPoint) -> Iterator[dict[str, Any]]:
        for group in self.groups:
            if (rule := group.rule(point)) is not None:
                yield rule.model_dump(mode="json", exclude_defaults=True)

    def _template(self, point: SearchPoint) -> dict[str, Any]:
        """Return the experiment's own weight-pruning step, without its rules and budget."""
        own = [step for step in self.experiment.prune if isinstance(step, WeightSection)]
        template: dict[str, Any] = {"method": "sr-ste"}
        for step in own:
            template = step.model_dump(mode="json", exclude_unset=True, exclude={"rules", "budget"})
        if (method := point.get(METHOD, template["method"])) != template["method"]:
            template = {"method": method}
        return template

    def _bits(self, point: SearchPoint) -> Iterator[tuple[str, dict[str, Any]]]:
        for group in self.groups:
            chosen = {
                key: point[name]
                for key, name in (
                    ("weight_bits", f"{group.name} weight bits"),
                    ("act_bits", f"{group.name} activation bits"),
                )
                if name in point
            }
            if chosen:
                yield from ((layer, chosen) for layer in group.layers)

    def _hardware_changes(self, point: SearchPoint) -> dict[str, Any]:
        keys = {
            "device": "device",
            "multipliers": "multipliers",
            "target fps": "target_fps",
            "clock MHz": "clock_mhz",
        }
        return {key: point[name] for name, key in keys.items() if name in point}


def _groups(section: TuneSection, model: nn.Module, problems: list[str]) -> Iterator[LayerGroup]:
    layers = prunable_layers(model)
    shapes = {name: weight_shape(filter_weights(layer)) for name, layer in layers.items()}
    for entry in section.layers:
        matched = [name for name in layers if re.fullmatch(entry.layers, name)]
        if not matched:
            problems.append(
                f"tune.layers: '{entry.layers}' must name a layer; there are {', '.join(layers)}"
            )
        fitted: set[str] = set()
        for names in [(name,) for name in matched] if entry.each else [tuple(matched)]:
            own = [shapes[name] for name in names]
            patterns, strides = dict(_fitting(entry, own)), _fitting_strides(entry, own)
            fitted |= {*patterns, *map(str, strides)}
            yield LayerGroup(
                name=names[0] if entry.each else entry.layers,
                layers=names,
                patterns=patterns,
                strides=strides,
                weight_bits=entry.weight_bits,
                act_bits=entry.act_bits,
            )
        problems += [
            f"tune.layers: {label} fits no layer of '{entry.layers}'"
            for label, name in [
                *((_label(section), _label(section)) for section in entry.patterns),
                *((f"stride {stride}", str(stride)) for stride in entry.strides if stride > 1),
            ]
            if matched and name not in fitted
        ]


def _fitting(
    entry: LayersSection, shapes: Sequence[WeightShape]
) -> Iterator[tuple[str, PatternSection | None]]:
    """Yield the patterns that fit all of some layers, with their labels, in the given order."""
    fitting = [section for section in entry.patterns if _fits(section.rule(), shapes)]
    if entry.patterns and (entry.dense or not fitting):
        yield DENSE, None
    yield from ((_label(section), section) for section in fitting)


def _fitting_strides(entry: LayersSection, shapes: Sequence[WeightShape]) -> tuple[int, ...]:
    """Return the strides that fit all of some layers; empty if only stride 1 does."""
    fitting = tuple(
        stride
        for stride in entry.strides
        if stride == 1 or _fits(RuleSection(layers=".*", stride=stride), shapes)
    )
    return () if fitting == (1,) else fitting


def _fits(rule: RuleSection, shapes: Sequence[WeightShape]) -> bool:
    return not any(problem for shape in shapes for problem in make_pattern(rule).problems(shape))


def _label(section: PatternSection) -> str:
    return str(make_pattern(section.rule()))


def _match_exactly(layers: Sequence[str]) -> str:
    """Write a regular expression that matches only these names."""
    return "|".join(map(re.escape, layers))


def _hardware_problems(experiment: Experiment) -> Iterator[str]:
    assert experiment.tune is not None
    chosen = experiment.tune.hardware
    clocked = chosen.clock_mhz or experiment.hardware.clock_mhz
    if chosen.target_fps and not clocked:
        yield "tune.hardware.target_fps needs clock_mhz, there or in [hardware]"
    elif experiment.hardware.target_fps and not clocked:
        yield "hardware.target_fps needs clock_mhz when designs are searched"
