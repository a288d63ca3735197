"""Measurements of points: the dense model, accuracy after training, and exact plans."""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from systolith.compress import Trainer, prune_model, quantize_model
from systolith.config import Experiment, HardwareSection, check_experiment
from systolith.data import Dataset, TargetKind, hold_out
from systolith.data.split import draw_stratified
from systolith.devices import Resources
from systolith.foundation import Progress, ProgressCallback, UsageError, write_json
from systolith.frontend import IntegerModel, lower
from systolith.network import load, save
from systolith.plan import ArrayShape, ConvPlan, PlanError, plan_network
from systolith.report import engine_rows
from systolith.stages.keys import hash_programs
from systolith.stages.software.factories import (
    make_bits,
    make_data,
    make_model,
    make_post_training,
    make_recipe,
    make_teacher,
)
from systolith.stages.software.prunings import make_prunings
from systolith.train import EpochProgress, Recipe, evaluate, save_tensors, train_float

__all__ = [
    "Layout",
    "Measurement",
    "PlanTask",
    "TrainTask",
    "dense_model",
    "epochs_at",
    "load_judged_data",
    "measure",
    "plan_exactly",
    "read_measurement",
    "train_dense",
]

TRAINED_FROM = ("seed", "model", "data", "train", "prune", "quantize")
"""Sections of the experiment that the accuracy depends on."""
TRAINED = ("train", "prune", "quantize", "lower")
"""Stages that a measurement runs."""
TRAINING_DENSE = "training the dense model"
NETWORK, FOUND = "network.json", "measurement.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTask:
    """A point to train, and to measure.

    Attributes
    ----------
    content : mapping
        Experiment file with the changes of the point.
    folder : Path
        Folder of that file.
    weights : Path
        File with the weights of the dense, trained model.
    fidelity : float
        Share of the experiment's epochs, 0..1.
    results : Path
        Folder of all measurements.
    seconds : float
        Time limit of the training.
    """

    content: Mapping[str, Any]
    folder: Path
    weights: Path
    fidelity: float
    results: Path
    seconds: float

    @property
    def experiment(self) -> Experiment:
        """The experiment of the point."""
        return check_experiment(self.content, self.folder / "point.toml")

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on."""
        experiment = self.experiment
        tune = experiment.tune
        assert tune is not None
        judged = {
            "held_out": tune.held_out,
            "judged_images": tune.judged_images,
            "images": tune.images,
            "fidelity": self.fidelity,
        }
        content = experiment.model_dump(mode="json", include=set(TRAINED_FROM))
        values = [
            hash_programs(*TRAINED),
            _digest(self.weights),
            self._teacher_digest,
            content,
            judged,
        ]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:24]

    @property
    def _teacher_digest(self) -> str | None:
        teacher = self.experiment.train.teacher
        if teacher is None or teacher.weights is None:
            return None
        return _digest(self.folder / teacher.weights)


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The accuracy of a trained point.

    Attributes
    ----------
    key : str
        Key of the task.
    accuracy : float
        Accuracy of the integer network, 0..1.
    seconds : float
        Time that the first measurement took.
    """

    key: str
    accuracy: float
    seconds: float


def measure(job: tuple[TrainTask, str]) -> Measurement:
    """Train and measure a point, or read the earlier measurement; the result is written to disk.

    Parameters
    ----------
    job : pair of TrainTask and str
        The task and its key.

    Raises
    ------
    TimeoutError
        If training takes too long.
    PruneError, DivergedError
        If the point cannot be trained.
    """
    task, key = job
    folder = task.results / key
    if (earlier := read_measurement(task.results, key)) is not None:
        return earlier
    start = time.monotonic()
    experiment = task.experiment
    assert experiment.tune is not None
    torch.set_num_threads(experiment.train.threads)
    data = load_judged_data(experiment, task.folder)
    model = dense_model(experiment, task.folder, task.weights)
    recipe = _recipe(experiment, data, task.folder)
    shorter = replace(
        recipe,
        prune_epochs=epochs_at(recipe.prune_epochs, task.fidelity),
        quantize_epochs=epochs_at(recipe.quantize_epochs, task.fidelity),
    )
    prunings = [
        replace(
            pruning,
            epochs=None if pruning.epochs is None else epochs_at(pruning.epochs, task.fidelity),
            finetune_epochs=epochs_at(pruning.finetune_epochs, task.fidelity),
        )
        for pruning in make_prunings(experiment)
    ]

    def check_time(progress: EpochProgress) -> None:
        if (taken := time.monotonic() - start) > task.seconds:
            raise TimeoutError(f"training took more than {task.seconds:g} s, namely {taken:.0f} s")

    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            data=data, recipe=shorter, progress=check_time, checkpoint=Path(scratch) / "point"
        )
        trainer = trainer.taught_by(model)
        pruned = prune_model(model, trainer, prunings)
        bits = make_bits(experiment, data.train_images, data.test_images)
        quantized = quantize_model(
            pruned,
            trainer,
            bits,
            prunings=prunings,
            post_training=make_post_training(experiment),
        )
    accuracy = evaluate(IntegerModel(quantized).logits, data.test_images, data.test_labels)
    folder.mkdir(parents=True, exist_ok=True)
    save(lower(quantized, name=experiment.name), folder / NETWORK)
    measurement = Measurement(key=key, accuracy=accuracy, seconds=time.monotonic() - start)
    # Written last, because it marks the measurement as complete.
    write_json(folder / FOUND, asdict(measurement))
    return measurement


def read_measurement(results: Path, key: str) -> Measurement | None:
    """Read the measurement of a key; None if there is none."""
    try:
        return Measurement(**json.loads((results / key / FOUND).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def epochs_at(epochs: int, fidelity: float) -> int:
    """Return a share of a number of epochs, rounded up."""
    return ceil(epochs * fidelity)


def load_judged_data(experiment: Experiment, folder: Path) -> Dataset:
    """Load the data that points are trained with; its test part measures their accuracy."""
    return _judged_data(experiment.model_dump_json(include={"seed", "data", "tune"}), folder)


@lru_cache(maxsize=1)
def _judged_data(content: str, folder: Path) -> Dataset:
    sections = json.loads(content)
    rest = {"name": "data", "model": {"factory": ""}}
    experiment = check_experiment({**sections, **rest}, folder / "data.toml")
    tune = experiment.tune
    assert tune is not None
    data = make_data(experiment.data, experiment.seed, folder)
    if not data.has_labels:
        raise UsageError(f"data set '{data.name}' has no labels, which tuning judges accuracy by")
    if data.target is not TargetKind.CLASSES:
        raise UsageError(
            f"tuning judges the accuracy of classes, but targets of data set '{data.name}' are of "
            f"kind '{data.target.value}'"
        )
    if tune.held_out:
        held = hold_out(data, round(tune.held_out * len(data.train_labels)), experiment.seed)
        data = replace(held.dataset, test_images=held.images, test_labels=held.labels)
    if tune.images is not None and tune.images < len(data.train_labels):
        some = hold_out(data, tune.images, experiment.seed + 1)
        data = replace(data, train_images=some.images, train_labels=some.labels)
    if tune.judged_images is not None and tune.judged_images < len(data.test_labels):
        drawn = draw_stratified(data.test_labels, tune.judged_images, experiment.seed + 2)
        data = replace(
            data, test_images=data.test_images[drawn], test_labels=data.test_labels[drawn]
        )
    return data


def train_dense(
    experiment: Experiment, base: Path, weights: Path, progress: ProgressCallback
) -> None:
    """Train the dense model that all points start from, unless that is done; resume if cut off.

    Parameters
    ----------
    experiment : Experiment
    base : Path
        Folder of the experiment file.
    weights : Path
        File for the weights.
    progress : ProgressCallback
    """
    if weights.exists():
        return
    progress(Progress(task=TRAINING_DENSE, done=0, total=1))
    before = torch.get_num_threads()
    torch.set_num_threads(experiment.train.threads)
    model = make_model(experiment.model, experiment.seed, base)
    checkpoint = weights.parent / "checkpoint"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    data = load_judged_data(experiment, base)
    train_float(
        model,
        data,
        _recipe(experiment, data, base),
        lambda now: progress(Progress(task=TRAINING_DENSE, done=now.epoch, total=now.total)),
        checkpoint,
    )
    save_tensors(dict(model.state_dict()), weights)
    checkpoint.unlink(missing_ok=True)
    torch.set_num_threads(before)


def _recipe(experiment: Experiment, data: Dataset, folder: Path) -> Recipe:
    return replace(make_recipe(experiment), teacher=make_teacher(experiment, data, folder))


def dense_model(experiment: Experiment, folder: Path, weights: Path) -> nn.Module:
    """Make the experiment's model with trained weights."""
    model = make_model(experiment.model, experiment.seed, folder)
    model.load_state_dict(load_file(weights))
    return model.eval()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTask:
    """A trained network to plan.

    Attributes
    ----------
    results : Path
        Folder of all measurements.
    key : str
        Key of the measurement with the network.
    hardware : HardwareSection
    """

    results: Path
    key: str
    hardware: HardwareSection

    @property
    def path(self) -> Path:
        """File of the layout."""
        content = f"{hash_programs('estimate')}{self.hardware.model_dump_json()}"
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return self.results / self.key / f"plan-{digest}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The plan of a design.

    Attributes
    ----------
    cycles, latency_cycles : int
    resources : Resources
    engines : list of dict
        Fields of :class:`systolith.report.EngineRow`.
    arrays : dict
        Shape of each PE array, as in [hardware.arrays].
    """

    cycles: int
    latency_cycles: int
    resources: Resources
    engines: list[dict[str, Any]]
    arrays: dict[str, dict[str, int]]


def plan_exactly(task: PlanTask) -> Layout | None:
    """Plan with streams and queues, or read the earlier plan; None if the network does not fit."""
    path = task.path
    if path.exists():
        content = json.loads(path.read_text())
    else:
        content = _plan(task)
        write_json(path, content)
    if content is None:
        return None
    return Layout(**{**content, "resources": Resources(**content["resources"])})


def _plan(task: PlanTask) -> dict[str, Any] | None:
    hardware = task.hardware
    try:
        plan = plan_network(
            load(task.results / task.key / NETWORK),
            budget=hardware.budget,
            cycles=hardware.cycles,
            reloadable=hardware.reloadable,
        )
    except PlanError:
        return None
    shapes: dict[str, ArrayShape] = {
        stage.name: stage.array for stage in plan.stages if isinstance(stage, ConvPlan)
    }
    return {
        "cycles": plan.cycles_per_frame,
        "latency_cycles": plan.latency_cycles,
        "resources": asdict(plan.resources),
        "engines": [asdict(row) for row in engine_rows(plan)],
        "arrays": {name: asdict(shape) for name, shape in shapes.items()},
    }
