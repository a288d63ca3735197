"""Random images for the comparison of an imported network with its file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange.values.quantizer import FloatArray, InputQuantizer

__all__ = ["draw_images"]

CONTRASTS = (0.5, 1.5, 1.0, 0.25)
"""Contrasts of images, as a share of the range of the input's type; above 1, values are clipped."""


def draw_images(
    source: InputQuantizer,
    count: int,
    dtype: np.dtype[Any],
    *,
    whole: bool = False,
    seed: int = 0,
) -> NDArray[Any]:
    """Draw random images in the file's layout.

    Each image is half smooth and half noise. Contrasts differ, so that values cover the range of
    the input's type.

    Parameters
    ----------
    source : InputQuantizer
        Quantizer of the images.
    count : int
        Number of images.
    dtype : dtype
        Type of the file's input.
    whole : bool
        Whether images are whole numbers of the input's steps.
    seed : int

    Returns
    -------
    array, shape (count, *source.shape)
    """
    rng = np.random.default_rng(seed)
    quantizer = source.quantizer
    low, high = quantizer.low, quantizer.high
    middle, span = (low + high) / 2, (high - low) / 2
    drawn = np.stack(
        [
            middle + span * (CONTRASTS[number % len(CONTRASTS)] * _pattern(source, rng))
            for number in range(count)
        ]
    )
    if whole:
        drawn = np.clip(np.rint(drawn), low, high)
    real = (drawn - quantizer.type.zero_point) * quantizer.scale
    factor, offset = source.scale, source.offset
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.where(factor == 0, 0.0, (real - offset) / factor)
    if source.integer is not None:
        inner = np.clip(np.rint(drawn), source.integer.low, source.integer.high)
    outer = rng.standard_normal((count, int(np.prod(source.shape))))
    used = source.places >= 0
    outer[:, source.places[used]] = inner[:, used]
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        outer = np.clip(np.rint(outer), limits.min, limits.max)
    return np.asarray(outer.reshape(count, *source.shape).astype(dtype))


def _pattern(source: InputQuantizer, rng: np.random.Generator) -> FloatArray:
    """Draw numbers in about -1..1, in the network's input shape."""
    shape = source.places.shape
    noise = rng.uniform(-1, 1, shape)
    if len(shape) != 3:
        return noise
    rows, columns = (np.linspace(0, np.pi * rng.uniform(1, 4), size) for size in shape[1:])
    phase = rng.uniform(0, 2 * np.pi, (shape[0], 1, 1))
    smooth = np.sin(rows[:, None] + columns[None, :] + phase)
    return np.asarray((smooth + noise) / 2)
