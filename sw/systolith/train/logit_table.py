"""A table of a teacher's logits: computed once for each image in each variant, then read."""

import os
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["LogitTable"]


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
        ``rows * (2 * classes + 1)`` bytes. None keeps the table in memory.

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
        self._known = content[size_bytes - rows :]
        self._logits = content[: size_bytes - rows].view(torch.float16).reshape(rows, classes)

    @staticmethod
    def size_bytes(rows: int, classes: int) -> int:
        """Return the size of a table."""
        return rows * (2 * classes + 1)

    def known(self, rows: Tensor) -> Tensor:
        """Return which rows are filled: bool of shape (N,)."""
        return self._known[rows] == 1

    def fill(self, rows: Tensor, logits: Tensor) -> None:
        """Write logits, float16 of shape (N, classes), before their rows count as filled."""
        self._logits[rows] = logits
        self._known[rows] = 1

    def read(self, rows: Tensor) -> Tensor:
        """Return the logits of filled rows, float16 of shape (N, classes)."""
        return self._logits[rows]
