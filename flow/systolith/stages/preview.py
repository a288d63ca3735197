"""What every step would refuse of an experiment, a model or a saved network, without training."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from systolith.compress import CheckStep, ModelCheck, ModelProblem
from systolith.config import Experiment
from systolith.data import Dataset, TargetKind
from systolith.foundation import ProblemCollector, UsageError
from systolith.network import IntegerNetwork, load
from systolith.plan import NetworkPlan, PlanError
from systolith.stages.hardware.engines import end_with_classes, judge_untrained, plan_engines
from systolith.stages.session import experiment_without_training, read_experiment
from systolith.stages.software.experiment import ExperimentSource
from systolith.stages.software.factories import INPUT_SHAPES, make_bits, make_model
from systolith.stages.software.preflight import check_training
from systolith.stages.sources import Judge

__all__ = ["Preview", "preview"]

RANDOM_IMAGES = 64
"""Images of a model that is checked without data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What was found.

    Attributes
    ----------
    name : str
    problems : tuple of ModelProblem
        Of all steps, in their order; empty if everything is accepted.
    model : ModelCheck or None
        None for a saved network, and if the model cannot run on the data.
    network : IntegerNetwork or None
        What engines were planned for; None if there is no integer form.
    plan : NetworkPlan or None
        Engines; None if there are none.
    notes : tuple of str
        What was left out, and what could not be checked.
    """

    name: str
    problems: tuple[ModelProblem, ...]
    model: ModelCheck | None = None
    network: IntegerNetwork | None = None
    plan: NetworkPlan | None = None
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether no step refuses."""
        return not self.problems

    @property
    def warnings(self) -> tuple[ModelProblem, ...]:
        """What may still turn out not to fit."""
        return () if self.model is None else self.model.warnings


def preview(
    target: str,
    *,
    input_shape: tuple[int, ...] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Preview:
    """Check everything that can be known before training.

    Parameters
    ----------
    target : str
        An experiment file, ``*.toml``; a saved network, ``*.json``; or a model, by the name of an
        example or as ``module:callable``.
    input_shape : tuple of int, optional
        (C, H, W) of the images of a model, (C, L) of its sequences or (F,) of its vectors.
    changes : mapping, optional
        Replace or add to what the experiment says, section by section.

    Raises
    ------
    ConfigError, NetworkError, UsageError
        If a file or an argument is wrong.
    """
    path = Path(target)
    if path.suffix in (".toml", ".json") and input_shape is not None:
        raise UsageError(f"--input-shape is for models only; {target} names its images itself")
    match path.suffix:
        case ".toml":
            experiment = read_experiment(path, changes)
            source = ExperimentSource(experiment, path.parent, path.parent)
            with source.running():
                return _preview_training(experiment, source.check_model)
        case ".json":
            network = load(path)
            return _preview_network(
                network, experiment_without_training(network.name, path, changes)
            )
        case _:
            return _preview_model(target, input_shape, changes)


def _preview_network(network: IntegerNetwork, experiment: Experiment) -> Preview:
    try:
        network = end_with_classes(network, experiment.hardware)
        plan = plan_engines(network, experiment.hardware, experiment.build)
    except PlanError as error:
        problems = _engine_problems(error)
        return Preview(name=network.name, problems=problems, network=network)
    return Preview(name=network.name, problems=(), network=network, plan=plan)


def _preview_model(
    target: str, input_shape: tuple[int, ...] | None, changes: Mapping[str, Any] | None
) -> Preview:
    shape = INPUT_SHAPES.get(target) if input_shape is None else input_shape
    if shape is None:
        raise UsageError(f"{target}: a model needs --input-shape C,H,W, the shape of its images")
    if len(shape) not in (1, 2, 3) or min(shape) < 1:
        given = ",".join(map(str, shape))
        raise UsageError(
            "--input-shape must be C,H,W of images, C,L of sequences or F of vectors, each at "
            f"least 1, got {given}"
        )
    name = "".join(c if c.isalnum() else "_" for c in target.rpartition(":")[2])
    experiment = experiment_without_training(name, Path(target), changes)
    section = experiment.model.model_copy(update={"factory": target})
    experiment = experiment.model_copy(update={"model": section})
    data = _random_data(shape, lambda: make_model(section, experiment.seed, Path()))

    def check(problems: ProblemCollector, judge: Judge) -> ModelCheck | None:
        return check_training(
            experiment,
            lambda: make_model(section, experiment.seed, Path()),
            lambda: data,
            lambda: make_bits(experiment, data.train_images),
            lambda: None,
            problems,
            judge,
        )

    return _preview_training(experiment, check)


def _random_data(shape: tuple[int, ...], make: Callable[[], nn.Module]) -> Dataset:
    """Make images of uniform noise in 0..1; they, or their pixels, are of class 0."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(RANDOM_IMAGES, *shape, generator=generator)
    labels, kind = torch.zeros(RANDOM_IMAGES, dtype=torch.int64), TargetKind.CLASSES
    with suppress(Exception), torch.no_grad():  # the check reports what does not run
        outputs = make().eval()(images[:2])
        if outputs[0, 0].numel() > 1:
            labels = labels.reshape(-1, *[1] * (outputs.ndim - 2)).expand(-1, *outputs.shape[2:])
            kind = TargetKind.PIXEL_CLASSES
    return Dataset(
        name="random images",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        target=kind,
    )


def _preview_training(
    experiment: Experiment, check: Callable[[ProblemCollector, Judge], ModelCheck | None]
) -> Preview:
    others = ProblemCollector()
    planner = _Planner(experiment)
    model = check(others, planner)
    problems = [
        ModelProblem(step=CheckStep.MODEL, text=text)
        for error in others.errors
        for text in error.problems
    ]
    if model is None:
        untold = "pruning, quantization, lowering and engines were not checked"
        return Preview(name=experiment.name, problems=tuple(problems), notes=(untold,))
    notes = [*model.notes, *planner.notes]
    if model.network is None:
        notes.append("engines were not checked, because there is no integer network to plan for")
    return Preview(
        name=experiment.name,
        problems=(*problems, *model.problems, *planner.problems),
        model=model,
        network=model.network,
        plan=planner.plan,
        notes=tuple(notes),
    )


class _Planner:
    """A :data:`Judge` that keeps the plan, and what engines refuse."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.plan: NetworkPlan | None = None
        self.problems: tuple[ModelProblem, ...] = ()
        self.notes: list[str] = []

    def __call__(self, network: IntegerNetwork, will_change: bool) -> None:
        """Plan the engines; if pruning will change the network, those before pruning."""
        hardware, build = self.experiment.hardware, self.experiment.build
        try:
            self.plan = judge_untrained(network, hardware, build, will_change=will_change)
        except PlanError as error:
            self.problems = _engine_problems(error)
            return
        if not will_change:
            return
        try:
            self.plan = plan_engines(end_with_classes(network, hardware), hardware, build)
            self.notes.append("engines are those before pruning, which will make them smaller")
        except PlanError as error:
            self.notes.append(f"engines depend on pruning; without it: {'; '.join(error.problems)}")


def _engine_problems(error: PlanError) -> tuple[ModelProblem, ...]:
    return tuple(ModelProblem(step=CheckStep.ENGINES, text=text) for text in error.problems)
