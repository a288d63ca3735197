"""CIFAR-10, from the published files or a NumPy archive."""

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from systolith.data.dataset import DataError, Dataset
from systolith.data.normalization import COLOURS

__all__ = ["load_cifar10"]

IMAGE_BYTES = 3 * 32 * 32
HIGHEST_LABEL = 9
TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_FILE = "test_batch"
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, EOFError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error),
)
"""Exceptions of reading a damaged file."""

Bytes = NDArray[np.uint8]
ImagesAndLabels = tuple[Bytes, Bytes]
"""Images (N, 3, 32, 32) and labels (N,)."""


def load_cifar10(path: Path, *, normalize: bool = False) -> Dataset:
    """Load 50,000 training and 10,000 test images of shape (3, 32, 32).

    Parameters
    ----------
    path : Path
        The published folder ``cifar-10-batches-py`` or ``cifar-10-batches-bin``, its parent folder,
        or a ``.npz`` with train_x, test_x, uint8 of shape (N, 32, 32, 3), and train_y, test_y.
    normalize : bool
        Normalize with the mean colour and deviation of ImageNet; otherwise pixels are 0..1.

    Raises
    ------
    DataError
        If files are missing, damaged or of another shape; all problems are listed.

    Notes
    -----
    Krizhevsky: Learning multiple layers of features from tiny images (2009).
    """
    path = Path(path)
    (train_x, train_y), (test_x, test_y) = _read(path)
    if (highest := max(train_y.max(initial=0), test_y.max(initial=0))) > HIGHEST_LABEL:
        problem = f"CIFAR-10 labels in '{path}' must be 0..{HIGHEST_LABEL}, got {highest}"
        raise DataError([problem])
    data = Dataset(
        name="cifar10",
        train_images=_images(train_x),
        train_labels=torch.from_numpy(train_y.astype(np.int64)),
        test_images=_images(test_x),
        test_labels=torch.from_numpy(test_y.astype(np.int64)),
    )
    colours = COLOURS[data.name]
    return data.normalize(colours.mean, colours.deviation) if normalize else data


def _read(path: Path) -> tuple[ImagesAndLabels, ImagesAndLabels]:
    if path.is_file():
        return _read_archive(path)
    for folder in (path, path / "cifar-10-batches-py", path / "cifar-10-batches-bin"):
        if (folder / TEST_FILE).exists():
            return _read_batches(folder, "", _read_pickle)
        if (folder / f"{TEST_FILE}.bin").exists():
            return _read_batches(folder, ".bin", _read_binary)
    problem = (
        f"CIFAR-10 needs the folder cifar-10-batches-py or cifar-10-batches-bin, or a .npz, "
        f"found none at '{path}'"
    )
    raise DataError([problem])


def _read_archive(path: Path) -> tuple[ImagesAndLabels, ImagesAndLabels]:
    try:
        with np.load(path) as archive:
            parts = [(archive[f"{part}_x"], archive[f"{part}_y"]) for part in ("train", "test")]
    except UNREADABLE as error:
        raise DataError([f"CIFAR-10 archive '{path}' cannot be read: {error}"]) from error
    for images, labels in parts:
        if images.shape != (len(labels), 32, 32, 3) or images.dtype != np.uint8:
            problem = (
                f"CIFAR-10 archive '{path}' needs uint8 images of shape (N, 32, 32, 3) and as many "
                f"labels, got {images.dtype} {images.shape} and {len(labels)}"
            )
            raise DataError([problem])
    train, test = ((images.transpose(0, 3, 1, 2), labels) for images, labels in parts)
    return train, test


def _read_batches(folder: Path, suffix: str, read: Any) -> tuple[ImagesAndLabels, ImagesAndLabels]:
    parts: list[ImagesAndLabels] = []
    problems: list[str] = []
    for name in (*TRAIN_FILES, TEST_FILE):
        try:
            parts.append(read(folder / f"{name}{suffix}"))
        except UNREADABLE as error:
            problems.append(f"'{name}{suffix}': {error}")
    if problems:
        raise DataError(problems, f"CIFAR-10 files in '{folder}' cannot be read")
    *train, test = parts
    images, labels = zip(*train, strict=True)
    return (np.concatenate(images), np.concatenate(labels)), test


def _read_binary(path: Path) -> ImagesAndLabels:
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if not len(content) or len(content) % (IMAGE_BYTES + 1):
        raise ValueError(f"needs a multiple of {IMAGE_BYTES + 1} bytes, got {len(content)}")
    records = content.reshape(-1, IMAGE_BYTES + 1)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def _read_pickle(path: Path) -> ImagesAndLabels:
    with path.open("rb") as file:
        batch = _ArraysOnly(file, encoding="bytes").load()
    images, labels = np.asarray(batch[b"data"], np.uint8), np.asarray(batch[b"labels"], np.uint8)
    if images.shape != (len(labels), IMAGE_BYTES):
        raise ValueError(
            f"needs images of shape ({len(labels)}, {IMAGE_BYTES}), got {images.shape}"
        )
    return images.reshape(-1, 3, 32, 32), labels


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays and plain containers only, so that no code from the file runs."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"must hold arrays only, got {module}.{name}")


def _images(pixels: Bytes) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).float().div_(255)
