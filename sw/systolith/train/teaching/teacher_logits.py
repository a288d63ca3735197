"""A teacher's logits in one training: computed in batches of one size, or read from a table."""

import hashlib

import torch
from torch import Tensor, nn

from systolith.train.batches import Batch
from systolith.train.errors import TrainingError
from systolith.train.precision import Precision
from systolith.train.teaching.logit_table import LogitTable

__all__ = ["TEACHER_BATCH", "TeacherLogits", "hash_parts"]

TEACHER_BATCH = 64
"""Images that a teacher sees at once, always: with another number, other kernels may run, whose
sums round differently. So logits do not depend on the batches in which images come."""


class TeacherLogits:
    """A teacher's logits in one training.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode, on the device of the images.
    precision : Precision
    table : LogitTable, optional
        Keeps logits; without one, each batch is computed.
    shape : tuple of int
        Shape of the logits of one image in the table.
    """

    def __init__(
        self,
        model: nn.Module,
        precision: Precision,
        table: LogitTable | None = None,
        shape: tuple[int, ...] = (),
    ) -> None:
        self._model, self._precision, self._table = model, precision, table
        self._shape = shape

    def read(self, batch: Batch) -> Tensor:
        """Return the logits of a batch: float16 of shape (N, classes, ...), on its device."""
        if self._table is None or batch.rows is None:
            return self.compute(batch.images)
        missing = ~self._table.known(batch.rows)
        if missing.any():
            images = batch.images[missing.to(batch.images.device)]
            logits = self.compute(images).cpu()
            self._table.fill(batch.rows[missing], logits.flatten(1))
        known = self._table.read(batch.rows).to(batch.images.device)
        return known.reshape(len(known), *self._shape)

    def compute(self, images: Tensor) -> Tensor:
        """Run the teacher on images; an image's logits do not depend on the other images.

        Raises
        ------
        TrainingError
            If logits are not finite in float16.
        """
        logits = torch.cat([self._run(part) for part in torch.split(images, TEACHER_BATCH)])
        if not logits.isfinite().all():
            raise TrainingError(
                ["the teacher's logits must be finite, in -65504..65504, which is float16"]
            )
        return logits

    def _run(self, images: Tensor) -> Tensor:
        count = len(images)
        filled = torch.cat([images, images[-1:].expand(TEACHER_BATCH - count, *images.shape[1:])])
        filled = self._precision.arrange(filled)
        with torch.no_grad(), self._precision.autocast(images.device):
            logits: Tensor = self._model(filled)
        return logits[:count].half()


def hash_parts(*parts: Tensor | str) -> str:
    """Hash texts, and the types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            values = part.detach().cpu().contiguous()
            digest.update(f"{values.dtype} {tuple(values.shape)} ".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(f"{part} ".encode())
    return digest.hexdigest()[:32]
