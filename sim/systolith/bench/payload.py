"""Convert tensors to and from the 32-bit words of a simulator."""

from collections.abc import Iterator

import numpy as np

from systolith.emit import StreamPort
from systolith.network import IntArray
from systolith.watch import WordArray

__all__ = ["check_images", "from_words", "to_words", "words_per_transfer"]


def words_per_transfer(port: StreamPort) -> int:
    """Return the number of 32-bit words of one payload; the last is padded with zeros."""
    return -(-port.width // 32)


def to_words(port: StreamPort, values: IntArray) -> WordArray:
    """Pack lane values (T, lanes) into payload words (T, words), least significant word first."""
    bits = port.tensor.type.bits
    shifts = np.arange(bits, dtype=np.uint16)  # no type has more than 16 bits
    lanes = (values.astype(np.uint16)[..., np.newaxis] >> shifts & 1).astype(np.uint8)
    size_bytes = 4 * words_per_transfer(port)
    packed = np.zeros((len(values), size_bytes), dtype=np.uint8)
    rows = np.packbits(lanes.reshape(len(values), port.width), axis=1, bitorder="little")
    packed[:, : rows.shape[1]] = rows
    return packed.view("<u4")


def from_words(port: StreamPort, words: WordArray) -> IntArray:
    """Undo :func:`to_words`."""
    act = port.tensor.type
    octets = np.ascontiguousarray(words, dtype="<u4").view(np.uint8)
    lanes = np.unpackbits(octets, axis=1, count=port.width, bitorder="little")
    weights = np.left_shift(1, np.arange(act.bits, dtype=np.int64))
    values = lanes.reshape(len(words), port.lanes, act.bits) @ weights
    return ((values - act.low) & ((1 << act.bits) - 1)) + act.low


def check_images(port: StreamPort, images: IntArray) -> Iterator[str]:
    """List what keeps `images` from being a batch for the stream."""
    act = port.tensor.type
    if images.dtype.kind not in "iu":
        yield f"images must be integers, got {images.dtype}"
    elif images.shape[1:] != port.tensor.shape or not len(images):
        shape = ", ".join(map(str, port.tensor.shape))
        yield f"images must have shape (N, {shape}) with N > 0, got {images.shape}"
    elif images.min() < act.low or images.max() > act.high:
        yield (
            f"images of type {act} must lie in {act.low}..{act.high}, "
            f"got {images.min()}..{images.max()}"
        )
