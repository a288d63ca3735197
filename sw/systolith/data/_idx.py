"""The idx format of MNIST: a magic number, sizes, bytes."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_idx", "read_idx"]

UNSIGNED_BYTES = 0x08


def find_idx(folder: Path, name: str) -> Path:
    """Find a file, plain or compressed.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError("is missing, also as .gz")


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read an array of bytes.

    Parameters
    ----------
    path : Path
        Compressed if its name ends in ``.gz``.
    axes : int
        Required number of axes.

    Returns
    -------
    NDArray of uint8
        Read-only.

    Raises
    ------
    ValueError
        If the file is damaged, holds another type or number of axes, or is too short or long.
    OSError
        If it cannot be read at all.

    Notes
    -----
    LeCun, Cortes, Burges: The MNIST database of handwritten digits, file formats: two zero bytes, a
    byte for the type, a byte for the number of axes, each size as 4 bytes, high byte first.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"cannot be decompressed: {error}") from error
    magic = bytes((0, 0, UNSIGNED_BYTES, axes))
    if content[:4] != magic:
        raise ValueError(f"needs magic number 0x{magic.hex()}, got 0x{content[:4].hex()}")
    header = 4 * (1 + axes)
    if len(content) < header:
        raise ValueError(f"needs a header of {header} bytes, got {len(content)}")
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], ">u4"))
    size = math.prod(shape)
    if len(content) != header + size:
        raise ValueError(
            f"needs {size} bytes for shape {shape} after its header, got {len(content) - header}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
