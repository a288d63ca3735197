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
from systolith.data.targets import TargetKind

__all__ = ["load_arrays"]

KEYS = ("train_x", "train_y", "test_x", "test_y")
_OWN = (TargetKind.CLASSES, TargetKind.PIXEL_CLASSES, TargetKind.VALUES)
"""Kinds whose targets are arrays of their own."""


def load_arrays(
    path: Path, *, normalize: bool = False, target: TargetKind = TargetKind.CLASSES
) -> Dataset:
    """Load images, sequences or vectors, and their targets, from a ``.npz``.

    Parameters
    ----------
    path : Path
        With train_x and test_x, numbers of shape (N, C, H, W), (N, C, L) or (N, F), and train_y and
        test_y, by default integers of shape (N,) from 0. Values of uint8 are divided by 255; others
        stay.
    target : TargetKind
        What train_y and test_y are. Values are numbers of any type; those of uint8 are divided by
        255. For an autoencoder, train_y is not read, and test_y, 1 for anomalies and 0 for normal
        images, may be left out.
    normalize : bool
        Normalize each channel, or each feature of vectors, by mean and deviation of the training
        data; not the targets, unless they are the images.

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
    arrays, problems = _read_archive(path, ("train_y", "test_y") if target in _OWN else ())
    problems = problems or [*_problems(arrays, "train", target), *_problems(arrays, "test", target)]
    DataError.raise_if_any(f"'{path}': {problem}" for problem in problems)
    data = Dataset(
        name=path.stem,
        train_images=_values(arrays["train_x"]),
        train_labels=_labels(arrays.get("train_y"), target),
        test_images=_values(arrays["test_x"]),
        test_labels=_labels(arrays.get("test_y"), target),
        target=target,
    )
    if not normalize:
        return data
    rows = data.train_images.double().movedim(1, 0).flatten(1)
    return data.normalize(rows.mean(1).tolist(), rows.std(1, correction=0).tolist())


def _read_archive(
    path: Path, targets: tuple[str, ...]
) -> tuple[Mapping[str, NDArray[Any]], list[str]]:
    try:
        with np.load(path) as archive:
            needed = [key for key in KEYS if key.endswith("_x") or key in targets]
            missing = [f"array '{key}' is missing" for key in needed if key not in archive]
            read = {*needed, "test_y"}
            return {key: np.asarray(archive[key]) for key in read if key in archive}, missing
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return {}, [f"it is no .npz of arrays: {error}"]


def _problems(arrays: Mapping[str, NDArray[Any]], part: str, target: TargetKind) -> Iterator[str]:
    values, labels = arrays[f"{part}_x"], arrays.get(f"{part}_y")
    if values.dtype.kind not in "fiu" or values.ndim not in (2, 3, 4):
        yield f"{part}_x must be numbers of shape {SHAPES}, got {values.dtype} {values.shape}"
    if labels is None:
        return
    real, whole = target is TargetKind.VALUES, target in (TargetKind.CLASSES, TargetKind.INPUT)
    kinds, what = ("fiu", "numbers") if real else ("iu", "integers")
    fits = labels.shape == values.shape[:1] if whole else labels.shape[:1] == values.shape[:1]
    if labels.dtype.kind not in kinds or not fits:
        wanted = values.shape[:1] if whole else f"({str(values.shape[:1])[1:-2]}, ...)"
        yield f"{part}_y must be {what} of shape {wanted}, got {labels.dtype} {labels.shape}"
    elif target is TargetKind.CLASSES and labels.size and labels.min() < 0:
        yield f"{part}_y must be classes from 0, got {labels.min()}"


def _labels(labels: NDArray[Any] | None, target: TargetKind) -> Tensor:
    if labels is None:
        return torch.zeros(0, dtype=torch.int64)
    return (
        _values(labels)
        if target is TargetKind.VALUES
        else torch.from_numpy(labels.astype(np.int64))
    )


def _values(values: NDArray[Any]) -> Tensor:
    real = torch.from_numpy(values.astype(np.float32))
    return real.div_(255) if values.dtype == np.uint8 else real
