"""What each training stage reads: settings, the user's code, weights and data."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from systolith.config import Experiment, PruneSection
from systolith.data import Dataset
from systolith.stages.keys.closure import Import
from systolith.stages.keys.inputs import Inputs, flatten_keys, join_inputs
from systolith.stages.keys.program import digest_array, digest_file, digest_program
from systolith.stages.keys.user_code import digest_sources
from systolith.stages.software.factories import MODELS, is_bundled_data
from systolith.train import DenseTeacher, Teacher

__all__ = ["TrainingInputs", "digest_tensor"]

TRAINING = (
    *("batch_size", "learning_rate", "warmup", "weight_decay", "clip_norm", "algorithm"),
    *("precision", "objective", "label_smoothing", "ema", "device"),
)


class TrainingInputs:
    """The inputs of the training stages of one experiment.

    Parameters
    ----------
    experiment : Experiment
    folder : Path
        Folder of the experiment file.
    data : Dataset
    fresh : callable
        Makes the untrained model.
    teach : callable
        Makes the teacher.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        data: Dataset,
        fresh: Callable[[], nn.Module],
        teach: Callable[[], Teacher | DenseTeacher | None],
    ) -> None:
        self.experiment, self.folder, self.data = experiment, folder, data
        self.fresh, self.teach = fresh, teach

    def of(self, stage: str) -> Inputs:
        """Return everything that a stage reads, except the files of earlier stages."""
        settings = {
            "train": self._train,
            "prune": self._prune,
            "quantize": self._quantize,
            "lower": self._lower,
        }[stage]
        used = [self.model, self.pixels]
        if self._is_taught(stage):
            used.append(self.teacher)
        program = digest_program(stage, sorted(self._imports, key=str))
        return join_inputs(program, *used, {"setting": dict(settings())})

    def _is_taught(self, stage: str) -> bool:
        """Whether a stage trains with the teacher."""
        teacher, train = self.experiment.train.teacher, self.experiment.train
        joint = [_is_joint(step) for step in self.experiment.prune]
        if teacher is None:
            return False
        return {
            "train": bool(train.float_epochs) and not teacher.is_dense,
            "prune": not all(joint),
            "quantize": bool(train.quantize_epochs) or any(joint),
            "lower": False,
        }[stage]

    @cached_property
    def model(self) -> Inputs:
        """Where the untrained model comes from: the user's files, and initial weights."""
        section = self.experiment.model
        inputs: dict[str, Any] = {"setting": {"model.factory": section.factory}}
        if section.weights is not None:
            path = self.folder / section.weights
            inputs["weights"] = {section.weights: digest_file(path)}
            inputs["setting"]["model.input_scale"] = section.input_scale
        if section.factory in MODELS:
            return inputs
        sources, _ = digest_sources(section.factory, self.folder)
        first, second = (_state_digest(self.fresh()) for _ in range(2))
        # A factory may read a file of its own. Weights that are drawn without a seed do not count.
        initial = {"initial weights": first} if first == second else {}
        return join_inputs(inputs, sources, {"weights": initial})

    @cached_property
    def teacher(self) -> Inputs:
        """Settings of the teacher, and where its weights come from, unless it is the model."""
        section = self.experiment.train.teacher
        if section is None:
            return {}
        content = section.model_dump(mode="json", exclude={"cache"})
        inputs: dict[str, Any] = {"setting": dict(flatten_keys("train.teacher", content))}
        if section.weights is not None:
            inputs["weights"] = {section.weights: digest_file(self.folder / section.weights)}
        if section.is_dense or section.factory in MODELS:
            return inputs
        teacher = self.teach()
        assert isinstance(teacher, Teacher)
        sources, _ = digest_sources(section.factory, self.folder)
        return join_inputs(inputs, sources, {"weights": {"teacher": teacher.digest}})

    @cached_property
    def pixels(self) -> Inputs:
        """All values of the data set, however it was loaded."""
        data = self.data
        parts = ("train_images", "train_labels", "test_images", "test_labels")
        values = {part: digest_tensor(getattr(data, part)) for part in parts}
        normal = {"mean and deviation": [data.mean, data.deviation]}
        return {"data": {**values, **normal, "target": data.target.value}}

    @cached_property
    def sources(self) -> Inputs:
        """The user's own source files, of the model and of the data loader."""
        return join_inputs(*(digest_sources(factory, self.folder)[0] for factory in self._own))

    @property
    def _own(self) -> Iterator[str]:
        if self.experiment.model.factory not in MODELS:
            yield self.experiment.model.factory
        if not is_bundled_data(self.experiment.data.factory):
            yield self.experiment.data.factory

    @property
    def _imports(self) -> frozenset[Import]:
        factory = self.experiment.model.factory
        return frozenset() if factory in MODELS else digest_sources(factory, self.folder)[1]

    def _train(self) -> Iterator[tuple[str, Any]]:
        train = self.experiment.train
        yield "seed", self.experiment.seed
        yield "train.float_epochs", train.float_epochs
        if train.float_epochs:
            yield from self._training()

    def _prune(self) -> Iterator[tuple[str, Any]]:
        steps = {n: step for n, step in enumerate(self.experiment.prune) if not _is_joint(step)}
        if steps:
            yield from self._steps(steps)

    def _quantize(self) -> Iterator[tuple[str, Any]]:
        train = self.experiment.train
        joint = {n: step for n, step in enumerate(self.experiment.prune) if _is_joint(step)}
        yield from flatten_keys("quantize", self.experiment.quantize.model_dump(mode="json"))
        yield "train.quantize_epochs", train.quantize_epochs
        yield "train.threads", train.threads
        if joint:
            yield from self._steps(joint)
        elif train.quantize_epochs:
            yield "seed", self.experiment.seed
            yield from self._training()

    def _lower(self) -> Iterator[tuple[str, Any]]:
        yield "name", self.experiment.name
        yield "train.threads", self.experiment.train.threads
        yield from flatten_keys("quantize", self.experiment.quantize.model_dump(mode="json"))

    def _steps(self, steps: Mapping[int, PruneSection]) -> Iterator[tuple[str, Any]]:
        """Settings that pruning steps read; multipliers only for a budget in cycles."""
        yield "seed", self.experiment.seed
        yield from self._training()
        for number, step in steps.items():
            yield from flatten_keys(f"prune[{number}]", step.model_dump(mode="json"))
        if any(step.epochs is None for step in steps.values()):
            yield "train.prune_epochs", self.experiment.train.prune_epochs
        budgets = [getattr(step, "budget", None) for step in steps.values()]
        if any(budget is not None and budget.cycles is not None for budget in budgets):
            yield "hardware.multipliers", self.experiment.multipliers

    def _training(self) -> Iterator[tuple[str, Any]]:
        train = self.experiment.train
        for key in (*TRAINING, "threads"):
            yield f"train.{key}", getattr(train, key)
        yield "data.augment", ", ".join(self.experiment.data.augment)


def _is_joint(step: PruneSection) -> bool:
    return bool(getattr(step, "joint", False))


def digest_tensor(tensor: Tensor) -> str:
    """Hash a tensor's type, shape and values."""
    values = tensor.detach().cpu()
    if values.dtype is torch.bfloat16:
        values = values.float()
    return digest_array(values.numpy())


def _state_digest(model: nn.Module) -> str:
    state = model.state_dict()
    content = "".join(f"{name} {digest_tensor(value)}" for name, value in sorted(state.items()))
    return hashlib.sha256(content.encode()).hexdigest()[:32]
