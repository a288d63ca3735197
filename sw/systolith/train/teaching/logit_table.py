"""A table of a teacher's logits: computed once for each image in each variant, then read."""

import os
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["LogitTable"]

CHECKSUMS = 32749
"""Number of checksums of a row; prime. A row without logits has 0, one with logits 1..32749."""


class LogitTable:
    """Logits in float16, in memory or in a memory-mapped file, filled as training asks for them.

    Parameters
    ----------
    rows : int
        Images times variants.
    classes : int
        Logits of each row.
    path : Path, optional
        File to read and fill; several processes may share it. Its size is
        ``rows * (2 * classes + 2)`` bytes. Rows that do not fit their checksum, as after damage of
        the file, count as not filled. None keeps the table in memory.

    Raises
    ------
    OSError
        If the file cannot be written; its space is reserved at once.
    """

    def __init__(self, rows: int, classes: int, path: Path | None = None) -> None:
        size_bytes = self.size_bytes(rows, classes)
        if path is None:
            content = torch.zeros(size_bytes, dtype=torch.uint8)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                if hasattr(os, "posix_fallocate"):  # not on macOS
                    os.posix_fallocate(file.fileno(), 0, size_bytes)
                elif file.tell() < size_bytes:
                    file.truncate(size_bytes)
            content = torch.from_file(str(path), shared=True, size=size_bytes, dtype=torch.uint8)
        values = 2 * rows * classes
        self._logits = content[:values].view(torch.float16).reshape(rows, classes)
        self._checksums = content[values:].view(torch.int16)

    @staticmethod
    def size_bytes(rows: int, classes: int) -> int:
        """Return the size of a table."""
        return rows * (2 * classes + 2)

    def known(self, rows: Tensor) -> Tensor:
        """Return which rows are filled: bool of shape (N,)."""
        return self._checksums[rows] == _checksums(self._logits[rows])

    def fill(self, rows: Tensor, logits: Tensor) -> None:
        """Write logits, float16 of shape (N, classes), before their rows count as filled."""
        self._logits[rows] = logits
        self._checksums[rows] = _checksums(logits)

    def read(self, rows: Tensor) -> Tensor:
        """Return the logits of filled rows, float16 of shape (N, classes)."""
        return self._logits[rows]


def _checksums(logits: Tensor) -> Tensor:
    """Return a number of 1..32749 for each row, from the bytes and their places."""
    content = logits.contiguous().view(torch.uint8).long()
    places = torch.arange(1, content.shape[1] + 1)
    return ((content * places).sum(1) % CHECKSUMS + 1).short()
