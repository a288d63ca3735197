"""Everything that a search may choose: axes with a few options each, and what they mean."""

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
from systolith.stages.prunings import pattern_of

__all__ = ["DENSE", "METHOD", "Axis", "AxisKind", "Group", "Label", "Point", "Space"]

DENSE, METHOD = "dense", "method"

Label = str | int | float
Point = Mapping[str, Label]
"""A label for each axis, by the axis's name."""


class AxisKind(Enum):
    """What an axis is about."""

    SOFTWARE = "software"
    HARDWARE = "hardware"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One choice.

    Parameters
    ----------
    name : str
    options : tuple of str, int or float
        At least one; the first is the dense, widest, or default one.
    kind : AxisKind
    """

    name: str
    options: tuple[Label, ...]
    kind: AxisKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Layers that are chosen for together.

    Parameters
    ----------
    name : str
    layers : tuple of str
        Qualified names.
    patterns : mapping of str to PatternSection or None
        By label; None is dense. Those that fit all the layers.
    strides : tuple of int
        Of taps, those that fit all the layers; empty: all taps are kept.
    weight_bits, act_bits : tuple of int
        Empty: as [quantize] says.
    """

    name: str
    layers: tuple[str, ...]
    patterns: Mapping[str, PatternSection | None]
    strides: tuple[int, ...]
    weight_bits: tuple[int, ...]
    act_bits: tuple[int, ...]

    @property
    def axes(self) -> Iterator[Axis]:
        """Its choices; one that is none is no axis."""
        for what, options in (
            ("pattern", tuple(self.patterns)),
            ("stride", self.strides),
            ("weight bits", self.weight_bits),
            ("activation bits", self.act_bits),
        ):
            if options:
                yield Axis(name=f"{self.name} {what}", options=options, kind=AxisKind.SOFTWARE)

    def rule(self, point: Point) -> RuleSection | None:
        """The pruning rule that a point chooses; None if the layers stay dense."""
        section = self.patterns.get(str(point.get(f"{self.name} pattern", DENSE)))
        stride = int(point.get(f"{self.name} stride", 1))
        chosen = {} if section is None else section.model_dump(exclude_defaults=True)
        if stride > 1:
            chosen["stride"] = stride
        return RuleSection(layers=_exactly(self.layers), **chosen) if chosen else None

    def pattern(self, point: Point) -> Pattern | StridedPattern:
        """The pattern that a point chooses."""
        rule = self.rule(point)
        return Pattern() if rule is None else pattern_of(rule)


@dataclass(frozen=True)
class Space:
    """What an experiment's [tune] says, for its network.

    Parameters
    ----------
    experiment : Experiment
        With a [tune] section.
    groups : tuple of Group
    """

    experiment: Experiment
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, experiment: Experiment, model: nn.Module) -> "Space":
        """Lay [tune] over a model.

        Raises
        ------
        UsageError
            If there is no such section, layers are named twice or not at all, a pattern fits no
            layer, or target_fps has no clock; all problems are listed.
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
        if problems:
            raise UsageError("; ".join(problems))
        return cls(experiment, groups)

    @property
    def section(self) -> TuneSection:
        """What [tune] says."""
        assert self.experiment.tune is not None
        return self.experiment.tune

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """All choices, those of layers first."""
        section, found = self.section, [axis for group in self.groups for axis in group.axes]
        for name, options, kind in (
            ("filters", section.filters, AxisKind.SOFTWARE),
            (METHOD, section.methods, AxisKind.SOFTWARE),
            ("device", section.hardware.devices, AxisKind.HARDWARE),
            ("multipliers", section.hardware.multipliers, AxisKind.HARDWARE),
            ("target fps", section.hardware.target_fps, AxisKind.HARDWARE),
            ("clock MHz", section.hardware.clock_mhz, AxisKind.HARDWARE),
        ):
            if options:
                found.append(Axis(name=name, options=tuple(options), kind=kind))
        return tuple(found)

    @cached_property
    def hardware_points(self) -> tuple[Point, ...]:
        """Every choice of hardware."""
        axes = [axis for axis in self.axes if axis.kind is AxisKind.HARDWARE]
        return tuple(
            dict(zip((axis.name for axis in axes), labels, strict=True))
            for labels in product(*(axis.options for axis in axes))
        )

    def software(self, point: Point) -> Point:
        """The part of a point that training depends on."""
        names = [axis.name for axis in self.axes if axis.kind is AxisKind.SOFTWARE]
        return {name: point[name] for name in names}

    @cached_property
    def uniform(self) -> tuple[tuple[str, Point], ...]:
        """The first option everywhere, and each pattern and stride in all layers that it fits."""
        first = {axis.name: axis.options[0] for axis in self.axes if axis.kind is AxisKind.SOFTWARE}
        labels = dict.fromkeys(label for group in self.groups for label in group.patterns)
        found: dict[str, Point] = {DENSE: first}
        for label in labels:
            changed = {
                f"{group.name} pattern": label for group in self.groups if label in group.patterns
            }
            found.setdefault(label, {**first, **changed})
        for stride in dict.fromkeys(stride for group in self.groups for stride in group.strides):
            axes = [f"{group.name} stride" for group in self.groups if stride in group.strides]
            point = {**first, **dict.fromkeys(axes, stride)}
            if point != first:
                found[f"stride {stride}"] = point
        return tuple(found.items())

    def hardware(self, point: Point) -> HardwareSection:
        """The [hardware] section of a point."""
        content = self.experiment.hardware.model_dump() | self._hardware_changes(point)
        return HardwareSection.model_validate(content)

    def changes(self, point: Point, *, hardware: bool = True) -> dict[str, Any]:
        """What a point changes in the experiment file; without hardware, what training sees."""
        steps: list[dict[str, Any]] = [
            step.model_dump(mode="json", exclude_none=True)
            for step in self.experiment.prune
            if isinstance(step, RemovalStep)
        ]
        if (share := point.get("filters", 1.0)) != 1.0:
            steps.append({"method": "dpp-filters", "keep": share})
        if rules := list(self._rules(point)):
            steps.append({**self._template(point), "rules": rules})
        changes: dict[str, Any] = {"prune": steps}
        if layers := dict(self._bits(point)):
            changes["quantize"] = {"layers": layers}
        if hardware and (section := self._hardware_changes(point)):
            changes["hardware"] = section
        return changes

    def _rules(self, point: Point) -> Iterator[dict[str, Any]]:
        for group in self.groups:
            if (rule := group.rule(point)) is not None:
                yield rule.model_dump(mode="json", exclude_defaults=True)

    def _template(self, point: Point) -> dict[str, Any]:
        """The experiment's own step of weights, without what is chosen here."""
        own = [step for step in self.experiment.prune if isinstance(step, WeightSection)]
        found: dict[str, Any] = {"method": "sr-ste"}
        for step in own:
            found = step.model_dump(mode="json", exclude_unset=True, exclude={"rules", "budget"})
        if (method := point.get(METHOD, found["method"])) != found["method"]:
            found = {"method": method}
        return found

    def _bits(self, point: Point) -> Iterator[tuple[str, dict[str, Any]]]:
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

    def _hardware_changes(self, point: Point) -> dict[str, Any]:
        keys = {
            "device": "device",
            "multipliers": "multipliers",
            "target fps": "target_fps",
            "clock MHz": "clock_mhz",
        }
        return {key: point[name] for name, key in keys.items() if name in point}


def _groups(section: TuneSection, model: nn.Module, problems: list[str]) -> Iterator[Group]:
    layers = prunable_layers(model)
    shapes = {name: weight_shape(layer.weight) for name, layer in layers.items()}
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
            yield Group(
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
    """Patterns by label that fit all of some layers, densest first as they are given."""
    fitting = [section for section in entry.patterns if _fits(section.rule(), shapes)]
    if entry.patterns and (entry.dense or not fitting):
        yield DENSE, None
    yield from ((_label(section), section) for section in fitting)


def _fitting_strides(entry: LayersSection, shapes: Sequence[WeightShape]) -> tuple[int, ...]:
    """Strides that fit all of some layers, by themselves; none if all taps are all there is."""
    found = tuple(
        stride
        for stride in entry.strides
        if stride == 1 or _fits(RuleSection(layers=".*", stride=stride), shapes)
    )
    return () if found == (1,) else found


def _fits(rule: RuleSection, shapes: Sequence[WeightShape]) -> bool:
    return not any(problem for shape in shapes for problem in pattern_of(rule).problems(shape))


def _label(section: PatternSection) -> str:
    return str(pattern_of(section.rule()))


def _exactly(layers: Sequence[str]) -> str:
    """Regular expression for just these names."""
    return "|".join(map(re.escape, layers))


def _hardware_problems(experiment: Experiment) -> Iterator[str]:
    assert experiment.tune is not None
    chosen = experiment.tune.hardware
    clocked = chosen.clock_mhz or experiment.hardware.clock_mhz
    if chosen.target_fps and not clocked:
        yield "tune.hardware.target_fps needs clock_mhz, there or in [hardware]"
