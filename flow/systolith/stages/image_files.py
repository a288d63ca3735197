"""The user's images for a saved network: arrays in files, in the layout of the original model."""

import zipfile
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.emit import Meaning
from systolith.foundation import UsageError
from systolith.network import ArgMax, IntArray, IntegerNetwork

__all__ = ["check_labels", "quantize_images", "read_images"]

Array = NDArray[Any]

ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "": np.rint,
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "half_even": np.rint,
    "half_up": lambda values: np.floor(values + np.float32(0.5)),
    "HALF_UP": lambda values: np.sign(values) * np.floor(np.abs(values) + np.float32(0.5)),
    "FLOOR": np.floor,
    "floor": np.floor,
    "CEIL": np.ceil,
    "DOWN": np.trunc,
}


def read_images(path: Path) -> tuple[Array, IntArray | None]:
    """Read images, and their labels if the file has them.

    Parameters
    ----------
    path : Path
        ``*.npz`` with an array ``images``, and ``labels`` if they are known; ``*.npy`` with images;
        or a folder of ``*.npy`` with one image each, which are read in the order of their names.

    Returns
    -------
    images : array, shape (N, ...)
    labels : array of int64, shape (N,), or None

    Raises
    ------
    UsageError
        If there is no such file, or it does not hold images.
    """
    try:
        if path.is_dir():
            files = sorted(path.glob("*.npy"))
            if not files:
                raise UsageError(f"'{path}' has no .npy files; one for each image is needed")
            return np.stack([np.load(file) for file in files]), None
        if path.suffix == ".npz":
            with np.load(path) as archive:
                return _named(path, dict(archive))
        if path.suffix != ".npy":
            raise UsageError(
                f"images must be a .npz or .npy file, or a folder of .npy, got '{path}'"
            )
        return np.load(path), None
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"there is no file '{path}' with images") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(
            f"'{path}' cannot be read as images: {error}; write it with numpy.savez or numpy.save"
        ) from error


def _named(path: Path, arrays: dict[str, Array]) -> tuple[Array, IntArray | None]:
    if "images" not in arrays:
        names = ", ".join(f"'{name}'" for name in arrays) or "nothing"
        raise UsageError(
            f"'{path}' needs an array 'images', and 'labels' if they are known, got {names}"
        )
    images, labels = arrays["images"], arrays.get("labels")
    if labels is None:
        return images, None
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UsageError(
            f"labels in '{path}' must be one integer for each of the {len(images)} images, got "
            f"{labels.dtype} {labels.shape}"
        )
    return images, labels.astype(np.int64)


def check_labels(labels: IntArray, network: IntegerNetwork) -> None:
    """Check that each label is the index of one of a network's results.

    Labels of a network with several outputs have no meaning and are not checked.

    Raises
    ------
    UsageError
    """
    if len(network.outputs) != 1 or not len(labels):
        return
    last = network[network.outputs[0]]
    count = last.classes if isinstance(last, ArgMax) else prod(network.tensors[last.name].shape)
    if labels.min() < 0 or labels.max() >= count:
        raise UsageError(
            f"labels must be classes 0..{count - 1}, as output '{network.outputs[0]}' has {count} "
            f"results, got {labels.min()}..{labels.max()}"
        )


def quantize_images(images: Array, network: IntegerNetwork, meaning: Meaning | None) -> IntArray:
    """Convert images to the integers that a network reads.

    Parameters
    ----------
    images : array, shape (N, ...)
        Floats are inputs of the original model, in its layout. Integers are inputs of the network.
    network : IntegerNetwork
    meaning : Meaning or None
        What the network's integers stand for.

    Raises
    ------
    UsageError
        If the images have another shape or do not fit the input's type, or if floats cannot be
        quantized.
    """
    if images.dtype.kind in "iu":
        return _checked(images, network)
    if images.dtype.kind != "f":
        raise UsageError(f"images must be floats or integers, got {images.dtype}")
    if meaning is None:
        raise UsageError(
            "float images need to know what the network's integers stand for: keep import.json "
            "beside network.json, or give integers"
        )
    if not np.isfinite(images).all():
        raise UsageError("images must be numbers, got infinite ones or none (NaN)")
    arranged = _arranged(images.astype(np.float32), network, meaning)
    factor, offset = (
        np.array(values, dtype=np.float32) for values in (meaning.multiply_by, meaning.add)
    )
    real = (arranged * factor + offset) / np.float32(meaning.input_scale)
    act = network.input.type
    if meaning.rounding not in ROUNDINGS:
        raise UsageError(f"images are rounded by '{meaning.rounding}', not known: give integers")
    rounded = ROUNDINGS[meaning.rounding]
    if meaning.zero_point_first:
        integers = rounded(real + np.float32(act.zero_point)).astype(np.float64)
    else:
        integers = rounded(real).astype(np.float64) + act.zero_point
    low = act.low if meaning.low is None else meaning.low
    high = act.high if meaning.high is None else meaning.high
    if meaning.wraps:
        integers = (integers - act.low) % (1 << act.bits) + act.low
    return np.asarray(np.clip(integers, low, high).astype(np.int64))


def _arranged(images: Array, network: IntegerNetwork, meaning: Meaning) -> Array:
    """Move elements to their places in the network's input."""
    shape = tuple(meaning.moved.get("image", network.input.shape))
    if images.shape[1:] != shape or not len(images):
        wanted = ", ".join(map(str, shape))
        raise UsageError(f"images must have shape (N, {wanted}), got {images.shape}")
    if not meaning.moved:
        return images
    flat = np.concatenate([images.reshape(len(images), -1), np.zeros((len(images), 1))], axis=1)
    places = np.asarray(meaning.moved["elements"]).reshape(network.input.shape)
    return np.asarray(flat[:, places].astype(np.float32))


def _checked(images: Array, network: IntegerNetwork) -> IntArray:
    tensor = network.input
    if images.shape[1:] != tensor.shape or not len(images):
        wanted = ", ".join(map(str, tensor.shape))
        raise UsageError(f"images must have shape (N, {wanted}), got {images.shape}")
    if images.min() < tensor.type.low or images.max() > tensor.type.high:
        raise UsageError(
            f"integer images must lie in {tensor.type.low}..{tensor.type.high}, as the network's "
            f"input, got {images.min()}..{images.max()}; give floats as the model reads them"
        )
    return images.astype(np.int64)
