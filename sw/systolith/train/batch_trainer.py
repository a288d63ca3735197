"""One step of training: forward, backward, and the update of the weights."""

from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from systolith.train.batches import Batch
from systolith.train.checkpoint import TrainingState
from systolith.train.errors import DivergedError
from systolith.train.objectives import TrainingObjective
from systolith.train.optimizers import anneal
from systolith.train.precision import Precision
from systolith.train.teaching import Teacher, TeacherLogits

__all__ = ["BatchTrainer"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchTrainer:
    """Trains a model on one batch after the other.

    Parameters
    ----------
    state : TrainingState
        Its model, optimizer, sparsifier and average are changed by each step.
    taught : TeacherLogits, optional
        Logits of the teacher; None without one.
    objective, teacher, precision, learning_rate, warmup, clip_norm, phase
        See :func:`fit`.
    """

    state: TrainingState
    objective: TrainingObjective
    teacher: Teacher | None
    taught: TeacherLogits | None
    precision: Precision
    learning_rate: float
    warmup: float
    clip_norm: float | None
    phase: str

    def take_step(self, batch: Batch, elapsed: float, epoch: int) -> tuple[float, int]:
        """Train on a batch; return the mean loss, and the number of correctly classified images.

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
            logits = self._run(batch)
            total = self.objective(logits, batch.labels)
            if self.teacher is not None and self.taught is not None:
                total = self.teacher.loss(total, logits, self.taught.read(batch))
            torch.autograd.backward(total)
        loss = float(total.detach())
        if not isfinite(loss):
            raise DivergedError(self.phase, epoch, loss, self.learning_rate)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
        optimizer.step()
        if self.state.average is not None:
            self.state.average.update_parameters(model)
        return loss, int((logits.argmax(1) == batch.classes).sum())

    def _run(self, batch: Batch) -> Tensor:
        """Return the logits of a batch in float32."""
        with self.precision.autocast(batch.images.device):
            images = self.precision.arrange(batch.images)
            logits: Tensor = self.state.model(images)
        return logits.float()
