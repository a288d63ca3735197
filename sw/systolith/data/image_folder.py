"""Images from folders, one folder per class, or one folder without classes."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from systolith.data.dataset import DataError, Dataset
from systolith.data.split import draw_stratified

__all__ = ["load_image_files", "load_image_folder"]

SUFFIXES = frozenset(".bmp .gif .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split())
DEEP = ("I", "F")
"""Prefixes of Pillow modes with more than 8 bits per channel."""
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""Exceptions of reading an image."""
UNKNOWN = ""
"""Class of images in a folder without classes."""
SHOWN = 10
"""Problems to list; further ones are counted."""

Classes = dict[str, list[Path]]
"""Image files by class name, both sorted."""


def load_image_folder(
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    color: bool = True,
    test_share: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Load images from one folder per class, or images without labels from one folder.

    Parameters
    ----------
    path : Path
        Contains ``train/CLASS/IMAGE`` and ``test/CLASS/IMAGE``; or ``CLASS/IMAGE``, in which case
        test images are drawn at random. Without labels, ``train/IMAGE`` and ``test/IMAGE``, or only
        ``IMAGE``. Labels number the classes in alphabetical order. Hidden
        files are ignored, and so are files without the suffix of an image (png, jpg, jpeg, bmp,
        gif, tif, tiff, webp, ppm, pgm).
    size : (int, int), optional
        Height and width in pixels to scale images to, bilinearly. By default, all images must have
        the same size.
    color : bool
        3 channels, red, green, blue; otherwise 1, brightness. Transparency is ignored.
    test_share : float
        Share of each class to draw for testing if there are no ``train`` and ``test``; 0..1.
    seed : int
        Seed of that draw.

    Returns
    -------
    Dataset
        Images sorted by class and file name; pixels are 0..1. Its name is the folder's.

    Raises
    ------
    DataError
        If the folder is missing, a class has no images, classes for training and testing differ, or
        images are damaged, of different sizes, or deeper than 8 bits; all problems are listed.
    """
    path = Path(path)
    _refuse(path, _argument_problems(size, test_share))
    parts = _find(path)
    _refuse(path, _class_problems(path, parts))
    files = [file for classes in parts.values() for members in classes.values() for file in members]
    labels = torch.tensor(
        [
            label
            for classes in parts.values()
            for label, members in enumerate(classes.values())
            for _ in members
        ]
    )
    if "test" in parts:
        test = torch.arange(len(files)) >= sum(map(len, parts["train"].values()))
    else:
        test = draw_stratified(labels, round(test_share * len(files)), seed)
        _refuse(path, _share_problems(list(parts[""]), labels, test, test_share))
    images, problems = _read(path, files, size, color)
    _refuse(path, problems)
    if all(set(classes) == {UNKNOWN} for classes in parts.values()):
        return Dataset(
            name=path.resolve().name, train_images=images[~test], test_images=images[test]
        )
    return Dataset(
        name=path.resolve().name,
        train_images=images[~test],
        train_labels=labels[~test],
        test_images=images[test],
        test_labels=labels[test],
    )


def _refuse(path: Path, problems: Iterable[str]) -> None:
    if collected := list(problems):
        more = [f"and {len(collected) - SHOWN} more"] if len(collected) > SHOWN else []
        raise DataError(collected[:SHOWN] + more, f"image folder '{path}'")


def _argument_problems(size: tuple[int, int] | None, test_share: float) -> Iterator[str]:
    if size is not None and min(size) < 1:
        yield f"size must be a height and a width of at least 1, got {size}"
    if not 0 < test_share < 1:
        yield f"test_share must be between 0 and 1, got {test_share}"


def _find(path: Path) -> dict[str, Classes]:
    """Find the classes of "train" and "test", or of "" without these folders."""
    parts = [part for part in ("train", "test") if (path / part).is_dir()]
    return {part: _classes(path / part) for part in (parts or [""])}


def _classes(folder: Path) -> Classes:
    """Find the images of each class; those of a folder without subfolders have no class."""
    folders = [subfolder for subfolder in _visible(folder) if subfolder.is_dir()]
    if not folders and (unknown := _images(folder)):
        return {UNKNOWN: unknown}
    return {subfolder.name: _images(subfolder) for subfolder in folders}


def _images(folder: Path) -> list[Path]:
    return [file for file in _visible(folder) if file.suffix.lower() in SUFFIXES]


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _class_problems(path: Path, parts: dict[str, Classes]) -> Iterator[str]:
    if not path.is_dir():
        yield "is no folder"
        return
    for part, classes in parts.items():
        place = f" in '{part}'" if part else ""
        if not classes:
            yield f"needs a folder for each class{place}, has none"
        yield from (f"class '{name}' has no images{place}" for name in classes if not classes[name])
    if parts.keys() in ({"train"}, {"test"}):
        yield f"needs both 'train' and 'test', has only '{next(iter(parts))}'"
    elif "test" in parts:
        for part, other in (("train", "test"), ("test", "train")):
            for name in sorted(parts[part].keys() - parts[other].keys()):
                yield f"class '{name}' is in '{part}' but not in '{other}'"


def _share_problems(
    names: list[str], labels: Tensor, test: Tensor, test_share: float
) -> Iterator[str]:
    for purpose, part in (("training", labels[~test]), ("testing", labels[test])):
        counts = torch.bincount(part, minlength=len(names)).tolist()
        for name, count in zip(names, counts, strict=True):
            if not count:
                yield f"test_share {test_share} leaves no image of class '{name}' for {purpose}"


def load_image_files(files: Sequence[Path], shape: tuple[int, int, int]) -> Tensor:
    """Read images and scale them to a network's input.

    Parameters
    ----------
    files : sequence of Path
        In any format that Pillow reads.
    shape : tuple of int
        (C, H, W); C is 1 for grey, 3 for colour.

    Returns
    -------
    Tensor of float32, shape (N, C, H, W)
        In 0..1.

    Raises
    ------
    DataError
        If files cannot be read (all are listed), or C is neither 1 nor 3.
    """
    channels, *size = shape
    if channels not in (1, 3):
        raise DataError([f"pictures have 1 or 3 channels, the network's input has {channels}"])
    images, problems = [], []
    for file in files:
        try:
            images.append(_read_image(file, (size[0], size[1]), channels == 3))
        except UNREADABLE as error:
            problems.append(f"'{file}' cannot be read: {error}")
    DataError.raise_if_any(problems)
    return torch.from_numpy(np.stack(images)).float().div_(255)


def _read(
    path: Path, files: list[Path], size: tuple[int, int] | None, color: bool
) -> tuple[Tensor, list[str]]:
    """Read all files into float32 (N, C, H, W), 0..1; also return the problems."""
    images: list[NDArray[np.uint8]] = []
    problems = []
    for file in files:
        name = file.relative_to(path)
        try:
            image = _read_image(file, size, color)
        except UNREADABLE as error:
            problems.append(f"'{name}' cannot be read: {error}")
            continue
        if images and image.shape != images[0].shape:
            (height, width), first = image.shape[1:], images[0].shape[1:]
            problems.append(
                f"'{name}' has {height}x{width} pixels, others {first[0]}x{first[1]}; "
                "give the size to scale to"
            )
            continue
        images.append(image)
    if problems:
        return torch.empty(0), problems
    return torch.from_numpy(np.stack(images)).float().div_(255), []


def _read_image(file: Path, size: tuple[int, int] | None, color: bool) -> NDArray[np.uint8]:
    """Read uint8 (C, H, W)."""
    with Image.open(file) as opened:
        if opened.mode.startswith(DEEP):
            raise ValueError(f"needs 8 bits per channel, got mode {opened.mode}")
        image: Image.Image = opened.convert("RGB" if color else "L")
    if size is not None:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8)
    return pixels.transpose(2, 0, 1) if color else pixels[None]
