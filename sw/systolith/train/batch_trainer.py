"""One step of training: forward, backward, and the update of the weights."""

from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from systolith.data import TargetKind
from systolith.train.batches import Batch
from systolith.train.checkpoint import TrainingState
from systolith.train.errors import DivergedError
from systolith.train.objectives import TrainingObjective
from systolith.train.optimizers import anneal
from systolith.train.precision import Precision
from systolith.train.targets import arrange_targets, count_right, read_outputs
from systolith.train.teaching import Teacher, TeacherLogits

__all__ = ["BatchTrainer"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchTrainer:
    """Trains a model on one batch after the other.

    Parameters
    ----------
    state : TrainingState
        Its model, optimizer, sparsifier and average are changed by each step.
    kind : TargetKind
    taught : TeacherLogits, optional
        Outputs of the teacher; None without one.
    objective, teacher, precision, learning_rate, warmup, clip_norm, phase
        See :func:`fit`.
    """

    state: TrainingState
    kind: TargetKind
    objective: TrainingObjective
    teacher: Teacher | None
    taught: TeacherLogits | None
    precision: Precision
    learning_rate: float
    warmup: float
    clip_norm: float | None
    phase: str

    def take_step(self, batch: Batch, elapsed: float, epoch: int) -> tuple[float, int, int]:
        """Train on a batch; return the mean loss, and the numbers of :func:`count_right`.

        Parameters
        ----------
        batch : Batch
        elapsed : float
            Share of the training that is over, 0..1.
        epoch : int
            For messages, from 1.

        Raises
        ------
        DivergedError
            If the loss is not finite.
        """
        model, optimizer = self.state.model, self.state.optimizer
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate * anneal(elapsed, self.warmup)
        optimizer.zero_grad()
        sparsifier = self.state.sparsifier
        with nullcontext() if sparsifier is None else sparsifier.step(model, elapsed):
            outputs = self._run(batch)
            targets = arrange_targets(batch.targets, outputs, self.kind)
            total = self.objective(outputs, targets)
            if self.teacher is not None and self.taught is not None:
                taught = self.taught.read(batch)
                apart = self._distance(outputs, taught)
                total = self.teacher.loss(total, outputs, taught, apart)
            torch.autograd.backward(total)
        loss = float(total.detach())
        if not isfinite(loss):
            raise DivergedError(self.phase, epoch, loss, self.learning_rate)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
        optimizer.step()
        if self.state.average is not None:
            self.state.average.update_parameters(model)
        right, known = count_right(outputs, targets) if self.kind.is_classes else (0, 0)
        return loss, right, known

    def _run(self, batch: Batch) -> Tensor:
        """Return the outputs of a batch in float32."""
        with self.precision.autocast(batch.images.device):
            images = self.precision.arrange(batch.images)
            outputs: Tensor = self.state.model(images)
        read: Tensor = read_outputs(self.state.model, outputs.float(), self.kind)
        return read

    def _distance(self, outputs: Tensor, taught: Tensor) -> Tensor | None:
        """Return the loss of values with the teacher's as targets; None for classes."""
        return None if self.kind.is_classes else self.objective(outputs, taught.float())
