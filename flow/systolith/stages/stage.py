"""The one type of a stage, and the run that caches, reports and publishes stages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systolith.foundation import Listener, ProgressCallback
from systolith.report import Report, StageTime
from systolith.stages.keys import Inputs, join_inputs
from systolith.stages.workspace import StageRecord, Workspace, compute_key

__all__ = ["Stage", "StageContext", "StageRunner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageContext:
    """What a stage gets while it runs.

    Attributes
    ----------
    progress : ProgressCallback
    checkpoint : Path
        Prefix of the files that hold unfinished work. It differs for different inputs.
    """

    progress: ProgressCallback
    checkpoint: Path


def _publish_nothing(report: Report, record: StageRecord) -> None:
    """Leave the report as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A cached part of a run.

    Attributes
    ----------
    name : str
    depends : tuple of str
        Names of the stages whose files this one reads. Their digests are part of the inputs.
    after : tuple of str
        Names of the stages that must run before for another reason.
    part_of : str or None
        Name of a stage that this one extends: both run together.
    applies : callable
        Whether the experiment asks for this stage.
    inputs : callable
        Returns everything else that decides the result.
    files : callable
        Returns the files that the stage writes, relative to the folder of the run. Names of
        folders end in ``/``.
    run : callable
        Does the work and returns JSON values.
    publish : callable
        Adds the result to the report.
    """

    name: str
    depends: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    part_of: str | None = None
    applies: Callable[[], bool] = lambda: True
    inputs: Callable[[], Inputs]
    files: Callable[[], Sequence[str]] = tuple
    run: Callable[[StageContext], dict[str, Any]]
    publish: Callable[[Report, StageRecord], None] = _publish_nothing


def choose_stages(stages: Sequence[Stage], goal: str | None) -> list[Stage]:
    """Choose the stages that a goal needs, in the order of `stages`; all if there is no goal.

    The goal itself is chosen even if the experiment does not ask for it.
    """
    if goal is None:
        return [stage for stage in stages if stage.applies()]
    known = {stage.name: stage for stage in stages}
    needed: set[str] = set()
    pending = [goal]
    while pending:
        name = pending.pop()
        if name in known and name not in needed:
            needed.add(name)
            pending += (*known[name].depends, *known[name].after)
    return [
        stage
        for stage in stages
        if (stage.name in needed or stage.part_of in needed)
        and (stage.name == goal or stage.applies())
    ]


class StageRunner:
    """Runs stages one by one in one folder.

    Parameters
    ----------
    workspace : Workspace
        Caches the results.
    listener : Listener
    report : Report
        Gets what the stages publish.
    """

    def __init__(self, workspace: Workspace, listener: Listener, report: Report) -> None:
        self.workspace, self.listener, self.report = workspace, listener, report
        self._records: dict[str, StageRecord] = {}

    def is_done(self, stages: Sequence[Stage]) -> bool:
        """Whether all of these stages are cached; each must stand behind those it depends on."""
        records: dict[str, StageRecord] = {}
        for stage in stages:
            record = self.workspace.record(stage.name, _inputs(stage, records))
            if record is None:
                return False
            records[stage.name] = record
        return True

    def run(self, stage: Stage) -> StageRecord:
        """Run a stage, or take its cached result, and publish it."""
        inputs = _inputs(stage, self._records)
        checkpoint = f"checkpoints/{stage.name}-{compute_key(stage.name, inputs)[:16]}"
        context = StageContext(
            progress=self.listener.progress, checkpoint=self.workspace.folder / checkpoint
        )
        self.listener.stage_begins(stage.name)
        record = self.workspace.stage(
            stage.name,
            inputs,
            stage.files(),
            lambda: stage.run(context),
            lambda reasons: self.listener.stage_reruns(stage.name, reasons),
        )
        self._records[stage.name] = record
        stage.publish(self.report, record)
        self.listener.stage_ends(stage.name, record.seconds, record.cached)
        self.report.stages.append(
            StageTime(
                name=stage.name,
                seconds=record.seconds,
                cached=record.cached,
                reasons=record.reasons,
            )
        )
        return record


def _inputs(stage: Stage, records: Mapping[str, StageRecord]) -> Inputs:
    results = {
        file: digest for name in stage.depends for file, digest in records[name].files.items()
    }
    return join_inputs(stage.inputs(), {"result": results} if results else {})
