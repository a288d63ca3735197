"""A run of an experiment in one folder, and how it is opened."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from systolith.config import (
    ConfigError,
    Experiment,
    check_experiment,
    load_experiment,
    merge_tables,
    read_content,
)
from systolith.emit import Meaning, read_meaning
from systolith.foundation import (
    Broadcast,
    Journal,
    Listener,
    ProblemCollector,
    ProblemsError,
    Silent,
    UsageError,
    open_log,
    write_json,
)
from systolith.network import IntegerNetwork, load
from systolith.plan import NetworkPlan
from systolith.report import Report, write_results_page
from systolith.stages.classes import ClassSource
from systolith.stages.hardware.engines import judge_untrained
from systolith.stages.hardware.stages import HardwareStages
from systolith.stages.machine import check_machine
from systolith.stages.sources import NetworkSource, Source
from systolith.stages.stage import Stage, StageRunner, choose_stages
from systolith.stages.workspace import Workspace

__all__ = ["Session", "experiment_without_training", "open_run", "read_experiment"]


class Session:
    """A run of one experiment in one folder.

    Parameters
    ----------
    experiment : Experiment
        What the stages do.
    source : Source
        The network and its reference.
    folder : Path
        For results.
    base : Path
        Folder to which paths in the experiment are relative.
    listener : Listener
    """

    def __init__(
        self, experiment: Experiment, source: Source, folder: Path, base: Path, listener: Listener
    ) -> None:
        self.experiment, self.source, self.folder = experiment, source, folder
        self.hardware = HardwareStages(experiment, source, folder, base)
        self.report = Report(name=experiment.name, seed=experiment.seed)
        self._journal = Journal(open_log(folder))
        self._runner = StageRunner(
            Workspace(folder), Broadcast(listener, self._journal), self.report
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages, in their order."""
        return (*self.source.stages, *self.hardware.stages)

    @property
    def plan(self) -> NetworkPlan:
        """The engines; known once the network is lowered."""
        return self.hardware.plan

    def run(self, goal: str | None = None) -> Report:
        """Run a stage and all stages that it needs, and write report.json and report.html.

        Parameters
        ----------
        goal : str, optional
            Name of a stage. By default, all stages run for which the experiment asks: a bitstream
            is built only if there is a part or a board to build for.

        Raises
        ------
        NetworkError, PlanError, UsageError, MissingToolError
            If the input is wrong or a tool is missing. Both are checked before work starts.
        """
        stages = choose_stages(self.stages, goal)
        names = [stage.name for stage in stages]
        self._check(stages)
        self._journal.note(f"run of '{self.experiment.name}': {', '.join(names)}")
        with self._journal.beating(), self.source.running():
            for stage in stages:
                self._runner.run(stage)
        write_json(self.folder / "report.json", self.report.to_json())
        write_results_page(self.report, self.folder)
        return self.report

    def _check(self, stages: list[Stage]) -> None:
        """Raise everything that can be known to be wrong before work starts."""
        names = [stage.name for stage in stages]
        problems = ProblemCollector()
        check_machine(names, self.experiment, self.folder, self.hardware.simulators, problems)
        if problems.errors or not self._is_trained(names):
            with self.source.running():
                judge = partial(_judge, self.experiment) if "estimate" in names else None
                self.source.check(problems, judge)
        problems.raise_if_any()

    def _is_trained(self, names: list[str]) -> bool:
        """Whether all training is cached. Then it needs no checks."""
        try:
            return self._runner.is_done(
                [stage for stage in self.source.stages if stage.name in names]
            )
        except (OSError, ProblemsError):
            return False  # the checks say what is wrong


def _judge(experiment: Experiment, network: IntegerNetwork, will_change: bool) -> None:
    judge_untrained(network, experiment.hardware, experiment.build, will_change=will_change)


def open_run(
    target: Path,
    output: Path | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> Session:
    """Open an experiment file or a saved network.

    Parameters
    ----------
    target : Path
        ``*.toml`` or ``*.json``.
    output : Path, optional
        Folder for results; default ``out/NAME``.
    changes : mapping, optional
        Replace or add to what the experiment file says, section by section. For a saved network
        they change the defaults; ``data.path`` is then a file or folder with images.
    listener : Listener, optional

    Raises
    ------
    ConfigError, NetworkError, UsageError
        If a file or a change is wrong.
    """
    source: Source
    match target.suffix:
        case ".toml":
            from systolith.stages.software.experiment import ExperimentSource  # needs PyTorch

            experiment = read_experiment(target, changes)
            folder = output or Path("out") / experiment.name
            source = ExperimentSource(experiment, folder, target.parent)
        case ".json":
            network = load(target)
            experiment = experiment_without_training(network.name, target, changes)
            folder = output or Path("out") / experiment.name
            path = experiment.data.path
            own = None if path is None else target.parent / path
            source = NetworkSource(network, experiment.seed, _read_meaning(target), own)
        case _:
            raise UsageError(f"needs an experiment (.toml) or a network (.json), got {target}")
    if experiment.hardware.class_on_chip:
        source = ClassSource(source)
    return Session(experiment, source, folder, target.parent, listener or Silent())


def read_experiment(target: Path, changes: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment file; it plans within the part that it builds for.

    Raises
    ------
    ConfigError
        With all mistakes in the file and, as far as they can be found, in model and data.
    """
    return _within_part(_load(target, changes))


def experiment_without_training(
    name: str, target: Path, changes: Mapping[str, Any] | None = None
) -> Experiment:
    """Make an experiment of defaults and changes, for something that names no model or data.

    Parameters
    ----------
    name : str
    target : Path
        For messages.
    changes : mapping, optional
    """
    nothing = {"factory": ""}
    content = {"name": name, "model": nothing, "data": nothing}
    return _within_part(check_experiment(content, target, changes))


def _read_meaning(network: Path) -> Meaning | None:
    try:
        return read_meaning(network)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _load(target: Path, changes: Mapping[str, Any] | None) -> Experiment:
    """Read an experiment. Problems of model and data are reported together with mistakes in it."""
    try:
        return load_experiment(target, changes)
    except ConfigError as error:
        problems = dict.fromkeys([*error.problems, *_more_problems(target, changes, error)])
        raise ConfigError(target, list(problems)) from error


def _more_problems(
    target: Path, changes: Mapping[str, Any] | None, error: ConfigError
) -> Iterator[str]:
    """Check model, data and rules without the wrong keys; or else whether factories exist."""
    sections = ("model", "data")
    if error.valid is not None and all(error.valid[section]["factory"] for section in sections):
        from systolith.stages.software.experiment import ExperimentSource  # needs PyTorch

        experiment = Experiment.model_validate(error.valid)
        source = ExperimentSource(experiment, target.parent, target.parent)
        collector = ProblemCollector()
        planned = not any(text.startswith(("hardware", "build")) for text in error.problems)
        with source.running():
            source.check(collector, partial(_judge, experiment) if planned else None)
        yield from (text for problem in collector.errors for text in problem.problems)
        return
    from systolith.stages.software.factories import check_factory  # needs PyTorch

    try:
        content = merge_tables(read_content(target), changes or {})
    except ConfigError:
        return
    for section in sections:
        given = content.get(section)
        factory = given.get("factory") if isinstance(given, Mapping) else None
        if isinstance(factory, str):
            try:
                check_factory(factory, section, target.parent)
            except UsageError as problem:
                yield str(problem)


def _within_part(experiment: Experiment) -> Experiment:
    """Plan within the part that is built for, if no other device is named."""
    hardware, part = experiment.hardware, experiment.build.part
    if part is None:
        return experiment
    if hardware.device not in (None, part.device.name):
        raise UsageError(
            f"[hardware] plans for {hardware.device}, but [build] is for {part.device.name}"
        )
    hardware = hardware.model_copy(update={"device": part.device.name})
    return experiment.model_copy(update={"hardware": hardware})
