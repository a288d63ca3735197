"""Distillation: a student learns the outputs of a trained teacher."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.data import Augment, Dataset, FiniteAugment, MixingAugment
from systolith.foundation import is_number, kind_problems, show_value
from systolith.train.errors import TrainingError
from systolith.train.objectives import describe_setting
from systolith.train.precision import Precision, weight_problems
from systolith.train.teaching.logit_table import LogitTable
from systolith.train.teaching.teacher_logits import TEACHER_BATCH, TeacherLogits, hash_parts

__all__ = ["DenseTeacher", "Normalized", "Teacher"]

MEMORY_BYTES = 1 << 30
"""Largest table of logits that is kept without a folder."""


class Normalized(nn.Module):
    """A model that normalizes its images first: ``model((images - mean) / deviation)``.

    Parameters
    ----------
    model : nn.Module
    mean, deviation : tuple of float
        Per channel.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, model: nn.Module, mean: tuple[float, ...], deviation: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, images: Tensor) -> Tensor:
        """Return the model's outputs for images of shape (N, C, ...)."""
        shape = (-1, *[1] * (images.ndim - 2))
        mean, deviation = self.mean.reshape(shape), self.deviation.reshape(shape)
        outputs: Tensor = self.model((images - mean) / deviation)
        return outputs


class Teacher:
    """A trained network whose outputs a student learns, besides the labels.

    With logits z of the student and t of the teacher, and temperature T, the loss of a batch is

    ``(1 - weight) * objective(z, labels) + weight * T**2 * KL(softmax(t / T) || softmax(z / T))``

    where KL is the mean over images, or over all pixels where these have classes. Of values, with
    outputs z of the student and t of the teacher, it is

    ``(1 - weight) * objective(z, targets) + weight * objective(z, t)``

    Parameters
    ----------
    model : nn.Module
        Maps the student's images, augmented, to outputs of the student's shape. Copied as it is
        now; the copy runs in evaluation mode, without gradients, on the student's device, in the
        precision of the training. For a model of differently normalized images, give
        :class:`Normalized`.
    weight : float
        Share of the teacher in the loss, above 0, at most 1.
    temperature : float
        Above 0. A higher one gives more weight to the classes that are not the most likely. Values
        have none.
    cache : Path or str, optional
        Folder that keeps logits for later training with the same teacher, images, augmentation and
        precision: one file for each such combination, whose size is
        ``images * variants * (2 * outputs + 2)`` bytes; 178 MB for CIFAR-10 with ``crop_and_flip``.
        None keeps them in memory, for as long as this object lives, if they fit 1 GiB.

    Raises
    ------
    TrainingError
        If the model is no module, or weight or temperature is out of range; all problems are
        listed.

    Notes
    -----
    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network (2015), section 2. Their
    cross entropy of soft targets has the gradient of KL. The factor T**2 keeps the relative sizes
    of both gradients when T changes.

    Outputs are rounded to float16, cached or not. With an augmentation of finitely many variants
    (:class:`systolith.data.FiniteAugment`), or none, those of an image in a variant are computed
    once; with another one, in each step. Both give the same weights, bit for bit.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        weight: float = 0.9,
        temperature: float = 4.0,
        cache: Path | str | None = None,
    ) -> None:
        problems = [*kind_problems("model of a teacher", model, nn.Module)]
        TrainingError.raise_if_any([*problems, *_range_problems(weight, temperature, cache)])
        self.weight, self.temperature = weight, temperature
        self.cache = None if cache is None else Path(cache)
        self._model = deepcopy(model).eval().requires_grad_(False)
        self._tables: dict[str, LogitTable] = {}

    def loss(
        self, objective: Tensor, logits: Tensor, taught: Tensor, distance: Tensor | None = None
    ) -> Tensor:
        """Return the loss of a batch, a scalar.

        Parameters
        ----------
        objective : Tensor
            Of the targets, a scalar.
        logits, taught : Tensor, shape (N, classes, ...)
            Of the student, float32, and of the teacher.
        distance : Tensor, optional
            Of values: the objective with the teacher's outputs as targets, a scalar. None for
            classes.
        """
        if distance is not None:
            return (1 - self.weight) * objective + self.weight * distance
        pixels = logits[0, 0].numel()
        divergence = F.kl_div(
            F.log_softmax(logits / self.temperature, dim=1),
            F.log_softmax(taught.float() / self.temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        if pixels > 1:
            divergence = divergence / pixels
        return (1 - self.weight) * objective + self.weight * self.temperature**2 * divergence

    def prepare(
        self,
        data: Dataset,
        augment: Augment | MixingAugment | None,
        precision: Precision,
        device: torch.device,
    ) -> TeacherLogits:
        """Return the teacher's logits for one training, cached where augmentation allows."""
        model = self._model.to(device)
        precision.arrange_(model)
        computed = TeacherLogits(model, precision)
        variants = augment.variants if isinstance(augment, FiniteAugment) else 1
        if augment is not None and not isinstance(augment, FiniteAugment):
            return computed
        images = data.train_images
        first = images[:TEACHER_BATCH].to(device)
        if isinstance(augment, FiniteAugment):
            first = augment.apply(first, torch.arange(len(first)) * variants // len(first))
        logits = computed.compute(first)
        rows, values = len(images) * variants, logits[0].numel()
        if self.cache is None and LogitTable.size_bytes(rows, values) > MEMORY_BYTES:
            return computed
        described = f"{describe_setting(augment)} {variants} {precision.value} {device.type}"
        key = hash_parts(described, self.digest, images, first, logits)
        if key not in self._tables:
            path = None if self.cache is None else self.cache / f"teacher-{key}.logits"
            self._tables[key] = LogitTable(rows, values, path)
        return TeacherLogits(model, precision, self._tables[key], tuple(logits.shape[1:]))

    def problems(self, images: Tensor, outputs: tuple[int, ...]) -> Iterator[str]:
        """Yield each reason why the teacher cannot teach a student; it sees the images.

        Parameters
        ----------
        images : Tensor, shape (N, C, H, W)
            Some images of the student.
        outputs : tuple of int
            Shape of the student's outputs for one image.
        """
        if self.cache is not None:
            try:
                self.cache.mkdir(parents=True, exist_ok=True)
                with TemporaryFile(dir=self.cache):
                    pass
            except OSError as error:
                yield (
                    f"the teacher's cache '{self.cache}' must be a folder that can be written: "
                    f"{error.strerror}"
                )
        if wrong := list(weight_problems(self._model, "the teacher")):
            yield from wrong
            return
        try:
            with torch.no_grad():
                logits = self._model.to(images.device)(images)
        except Exception as error:  # the model's code may raise anything
            yield (
                f"images of shape {tuple(images.shape)} do not fit the teacher: "
                f"{str(error) or type(error).__name__}"
            )
            return
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if shape != (len(images), *outputs):
            wanted = f"{outputs[0]} logits" if len(outputs) == 1 else f"outputs of shape {outputs}"
            yield (
                f"the teacher must give {wanted} for each image, as the model does, "
                f"got {shape} for {len(images)} images"
            )
        elif not logits.half().isfinite().all():
            yield f"the teacher's logits must be finite, in -65504..65504, got {logits.tolist()}"

    @property
    def description(self) -> str:
        """What the student's weights depend on."""
        return f"{self.digest}, weight {self.weight}, temperature {self.temperature}"

    @property
    def digest(self) -> str:
        """Hash of the teacher's weights and of its structure."""
        state = self._model.state_dict()
        return hash_parts(str(self._model), *state.keys(), *state.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseTeacher:
    """The network itself, dense and trained, as the teacher of its pruning and quantization.

    Parameters
    ----------
    weight, temperature, cache
        See :class:`Teacher`.

    Raises
    ------
    TrainingError
        If weight or temperature is out of range; all problems are listed.
    """

    weight: float = 0.9
    temperature: float = 4.0
    cache: Path | str | None = None

    def __post_init__(self) -> None:
        TrainingError.raise_if_any(list(_range_problems(self.weight, self.temperature, self.cache)))

    def of(self, model: nn.Module) -> Teacher:
        """Return the model, as it is now, as a teacher."""
        return Teacher(model, weight=self.weight, temperature=self.temperature, cache=self.cache)


def _range_problems(weight: Any, temperature: Any, cache: Any) -> Iterator[str]:
    yield from kind_problems("cache of a teacher", cache, Path, str, type(None))
    if not is_number(weight) or not 0 < weight <= 1:
        yield f"weight of a teacher must be above 0, at most 1, got {show_value(weight)}"
    if not is_number(temperature) or not 0 < temperature < inf:
        yield f"temperature of a teacher must be positive, got {show_value(temperature)}"
