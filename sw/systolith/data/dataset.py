"""Images, sequences or vectors, and their targets if they are known, for training and test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from systolith.data.targets import TargetKind
from systolith.foundation import ProblemsError

__all__ = ["CALIBRATION_IMAGES", "DataError", "Dataset"]

SHAPES = "(N, C, H, W), (N, C, L) or (N, F)"
"""Of images, sequences and vectors."""
CALIBRATION_IMAGES = 512
"""Most training images that initial quantizer steps are chosen by."""


def _no_labels() -> Tensor:
    return torch.zeros(0, dtype=torch.int64)


class DataError(ProblemsError, ValueError):
    """Files, images or labels that make no data set."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A data set in memory: images with labels, images without, or images that are the targets.

    Without targets, models are quantized, verified and built, but not trained, and no accuracy is
    counted.

    Parameters
    ----------
    name : str
        Name in messages and reports.
    train_images, test_images : Tensor of float32, shape (N, C, H, W), (N, C, L) or (N, F)
        Images, sequences or vectors; images in 0..1, or normalized.
    train_labels, test_labels : Tensor
        Of the type and shape that `target` says: classes, int64 of shape (N,), by default. Either
        both are given or none; for an autoencoder, only those of test images, or none.
    target : TargetKind
        What the labels are.
    mean, deviation : tuple of float, optional
        Of the normalization of the images, per channel (of vectors per feature); None without
        normalization.

    Raises
    ------
    DataError
        If shapes or types do not fit; all problems are listed.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor = field(default_factory=_no_labels)
    test_images: Tensor
    test_labels: Tensor = field(default_factory=_no_labels)
    target: TargetKind = TargetKind.CLASSES
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise DataError(problems, f"data set '{self.name}'")

    def _problems(self) -> Iterator[str]:
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if images.dtype != torch.float32 or images.ndim not in (2, 3, 4):
                yield (
                    f"{part}_images must be float32 of shape {SHAPES}, "
                    f"got {images.dtype} {tuple(images.shape)}"
                )
            optional = not self.has_labels or self.target is TargetKind.INPUT
            if labels.numel() or not optional:
                yield from self.target.label_problems(images, labels, part)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            yield (
                "training and test images must have one shape, got "
                f"{tuple(self.train_images.shape[1:])} and {tuple(self.test_images.shape[1:])}"
            )

    def normalize(self, mean: Sequence[float], deviation: Sequence[float]) -> "Dataset":
        """Return the data set with images ``(x - mean) / deviation``, both per channel.

        Raises
        ------
        DataError
            Unless there is one of each per channel, and deviations are positive.
        """
        channels = self.input_shape[0]
        if len(mean) != channels or len(deviation) != channels or min(deviation) <= 0:
            problem = (
                f"normalizing '{self.name}' needs {channels} means and positive deviations, "
                f"got {list(mean)} and {list(deviation)}"
            )
            raise DataError([problem])
        plain = replace(self, mean=tuple(mean), deviation=tuple(deviation))
        return replace(
            plain,
            train_images=plain.prepare(self.train_images),
            test_images=plain.prepare(self.test_images),
        )

    def prepare(self, images: Tensor) -> Tensor:
        """Normalize other images, 0..1 of shape (N, *input_shape), like the images here."""
        if self.mean is None or self.deviation is None:
            return images
        shift, scale = (
            torch.tensor(values).reshape(-1, *[1] * (len(self.input_shape) - 1))
            for values in (self.mean, self.deviation)
        )
        return (images - shift) / scale

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of one image, (C, L) of one sequence, or (F,) of one vector."""
        return tuple(self.train_images.shape[1:])

    @property
    def calibration_images(self) -> Tensor:
        """The first training images, by which initial quantizer steps are chosen."""
        return self.train_images[:CALIBRATION_IMAGES]

    @property
    def has_labels(self) -> bool:
        """Whether labels are known."""
        return bool(len(self.train_labels) or len(self.test_labels))

    @property
    def has_targets(self) -> bool:
        """Whether networks can be trained: labels are known, or the images are the targets."""
        return self.has_labels or self.target is TargetKind.INPUT

    @property
    def train_targets(self) -> Tensor:
        """What training aims at: the labels, or the training images of an autoencoder."""
        return self.train_images if self.target is TargetKind.INPUT else self.train_labels

    @property
    def test_targets(self) -> Tensor:
        """What evaluation compares with: the labels, or the test images of an autoencoder."""
        return self.test_images if self.target is TargetKind.INPUT else self.test_labels

    @property
    def classes(self) -> int:
        """Number of classes, if labels are classes and known."""
        return int(self.train_labels.max()) + 1

    def to_reconstruct(self) -> "Dataset":
        """Return the data set of an autoencoder: the images are the targets; no labels."""
        none = _no_labels()
        return replace(self, target=TargetKind.INPUT, train_labels=none, test_labels=none)
