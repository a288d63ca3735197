"""MNIST and Fashion-MNIST, from the published files or a NumPy archive."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from systolith.data._idx import find_idx, read_idx
from systolith.data.dataset import DataError, Dataset
from systolith.data.normalization import COLOURS

__all__ = ["load_fashion_mnist", "load_mnist"]

FILES = {
    "train_x": "train-images-idx3-ubyte",
    "train_y": "train-labels-idx1-ubyte",
    "test_x": "t10k-images-idx3-ubyte",
    "test_y": "t10k-labels-idx1-ubyte",
}
ALL_LABELS = frozenset(range(10))

ArraysByKey = dict[str, NDArray[np.uint8]]
"""Images (N, 28, 28) and labels (N,) by the keys of `FILES`."""


def load_mnist(path: Path, *, normalize: bool = False) -> Dataset:
    """Load 60,000 training and 10,000 test images of handwritten digits, shape (1, 28, 28).

    Parameters
    ----------
    path : Path
        The folder with the four published files, each plain or compressed (``.gz``), or a ``.npz``
        with train_x, test_x, uint8 of shape (N, 28, 28), and train_y, test_y, uint8 of shape (N,).
    normalize : bool
        Normalize with mean and deviation of the training images; otherwise pixels are 0..1.

    Raises
    ------
    DataError
        If files are missing, damaged or of another shape, or a class has no images; all problems
        are listed.

    Notes
    -----
    LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition (Proc.
    IEEE 1998).
    """
    data = _load("mnist", Path(path))
    colours = COLOURS["mnist"]
    return data.normalize(colours.mean, colours.deviation) if normalize else data


def load_fashion_mnist(path: Path, *, normalize: bool = False) -> Dataset:
    """Load 60,000 training and 10,000 test images of clothes, shape (1, 28, 28).

    Parameters, files and errors are those of :func:`load_mnist`.

    Notes
    -----
    Xiao, Rasul, Vollgraf: Fashion-MNIST (2017), a drop-in replacement for MNIST.
    """
    data = _load("fashion-mnist", Path(path))
    colours = COLOURS["fashion_mnist"]
    return data.normalize(colours.mean, colours.deviation) if normalize else data


def _load(name: str, path: Path) -> Dataset:
    arrays, problems = _read_archive(path) if path.is_file() else _read_files(path)
    problems = problems or [
        *_problems(arrays, "train"),
        *_problems(arrays, "test"),
    ]
    if problems:
        raise DataError(problems, f"data set '{name}' cannot be read from '{path}'")
    return Dataset(
        name=name,
        train_images=_images(arrays["train_x"]),
        train_labels=torch.from_numpy(arrays["train_y"].astype(np.int64)),
        test_images=_images(arrays["test_x"]),
        test_labels=torch.from_numpy(arrays["test_y"].astype(np.int64)),
    )


def _read_files(folder: Path) -> tuple[ArraysByKey, list[str]]:
    if not folder.is_dir():
        return {}, ["it is neither a folder nor a .npz"]
    arrays: ArraysByKey = {}
    problems = []
    for key, name in FILES.items():
        try:
            arrays[key] = read_idx(find_idx(folder, name), axes=3 if key.endswith("x") else 1)
        except (OSError, ValueError) as error:
            problems.append(f"'{name}' {error}")
    return arrays, problems


def _read_archive(path: Path) -> tuple[ArraysByKey, list[str]]:
    try:
        with np.load(path) as archive:
            missing = [f"array '{key}' is missing" for key in FILES if key not in archive]
            return {key: np.asarray(archive[key]) for key in FILES if key in archive}, missing
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return {}, [f"it is no .npz of arrays: {error}"]


def _problems(arrays: ArraysByKey, part: str) -> Iterator[str]:
    images, labels = arrays[f"{part}_x"], arrays[f"{part}_y"]
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        yield f"{part} images must be uint8 of shape (N, 28, 28), got {images.dtype} {images.shape}"
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        yield (
            f"{part} labels must be uint8 of shape {images.shape[:1]}, one per image, "
            f"got {labels.dtype} {labels.shape}"
        )
    elif labels.size and labels.max() >= len(ALL_LABELS):
        yield f"{part} labels must be 0..{len(ALL_LABELS) - 1}, got {labels.max()}"
    elif empty := sorted(ALL_LABELS - set(labels.tolist())):
        yield f"{part} images must be of all {len(ALL_LABELS)} classes, got none of {empty}"


def _images(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels[:, None].astype(np.float32)).div_(255)
