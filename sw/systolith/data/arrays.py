"""Images, sequences or vectors of one's own, from a NumPy archive."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from systolith.data.dataset import SHAPES, DataError, Dataset

__all__ = ["load_arrays"]

KEYS = ("train_x", "train_y", "test_x", "test_y")


def load_arrays(path: Path, *, normalize: bool = False) -> Dataset:
    """Load images, sequences or vectors from a ``.npz``.

    Parameters
    ----------
    path : Path
        With train_x and test_x, numbers of shape (N, C, H, W), (N, C, L) or (N, F), and train_y and
        test_y, integers of shape (N,) from 0. Values of uint8 are divided by 255; others stay.
    normalize : bool
        Normalize each channel, or each feature of vectors, by mean and deviation of the training
        data.

    Returns
    -------
    Dataset
        Its name is the file's.

    Raises
    ------
    DataError
        If the file is missing or damaged, or arrays have other shapes or types; all problems are
        listed.
    """
    path = Path(path)
    arrays, problems = _read_archive(path)
    problems = problems or [*_problems(arrays, "train"), *_problems(arrays, "test")]
    DataError.raise_if_any(f"'{path}': {problem}" for problem in problems)
    data = Dataset(
        name=path.stem,
        train_images=_values(arrays["train_x"]),
        train_labels=torch.from_numpy(arrays["train_y"].astype(np.int64)),
        test_images=_values(arrays["test_x"]),
        test_labels=torch.from_numpy(arrays["test_y"].astype(np.int64)),
    )
    if not normalize:
        return data
    rows = data.train_images.double().movedim(1, 0).flatten(1)
    return data.normalize(rows.mean(1).tolist(), rows.std(1, correction=0).tolist())


def _read_archive(path: Path) -> tuple[Mapping[str, NDArray[Any]], list[str]]:
    try:
        with np.load(path) as archive:
            missing = [f"array '{key}' is missing" for key in KEYS if key not in archive]
            return {key: np.asarray(archive[key]) for key in KEYS if key in archive}, missing
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return {}, [f"it is no .npz of arrays: {error}"]


def _problems(arrays: Mapping[str, NDArray[Any]], part: str) -> Iterator[str]:
    values, labels = arrays[f"{part}_x"], arrays[f"{part}_y"]
    if values.dtype.kind not in "fiu" or values.ndim not in (2, 3, 4):
        yield f"{part}_x must be numbers of shape {SHAPES}, got {values.dtype} {values.shape}"
    if labels.dtype.kind not in "iu" or labels.shape != values.shape[:1]:
        yield (
            f"{part}_y must be integers of shape {values.shape[:1]}, got {labels.dtype} "
            f"{labels.shape}"
        )
    elif labels.size and labels.min() < 0:
        yield f"{part}_y must be classes from 0, got {labels.min()}"


def _values(values: NDArray[Any]) -> Tensor:
    real = torch.from_numpy(values.astype(np.float32))
    return real.div_(255) if values.dtype == np.uint8 else real
