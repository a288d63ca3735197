"""Where a network and its reference come from: an experiment, or a saved network."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from systolith.emit import Meaning
from systolith.frontend import mirror
from systolith.network import IntArray, IntegerNetwork
from systolith.stages.errors import UsageError
from systolith.stages.image_files import check_labels, integers_of, read_images
from systolith.stages.inputs import Inputs
from systolith.stages.listener import Progress
from systolith.stages.problems import Judge, Problems

__all__ = ["NetworkSource", "Preparation", "Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """A stage that comes before there is a network.

    Attributes
    ----------
    inputs : callable
        Finds out what decides the result, but for files of earlier stages.
    reads, files : sequence of str
        Files of earlier stages that it reads, and those that it writes.
    run : callable
        Does the work; returns JSON values. Files whose names begin like the given path are for what
        is unfinished.
    """

    inputs: Callable[[], Inputs]
    reads: Sequence[str]
    files: Sequence[str]
    run: Callable[[Progress, Path], dict[str, Any]]


class Source(Protocol):
    """An integer network, images for it, and the PyTorch reference."""

    @property
    def stages(self) -> Mapping[str, Preparation]:
        """Stages to run first, by name."""

    @property
    def network(self) -> IntegerNetwork:
        """What the hardware computes; there once the stages have run."""

    @property
    def meaning(self) -> Meaning | None:
        """What the network's integers stand for, where that is known."""

    def check(self, problems: Problems, judge: Judge | None) -> None:
        """Check before any work what the stages to run first will need."""

    def running(self) -> AbstractContextManager[None]:
        """Hold for the whole run what the source needs around it."""

    @property
    def available(self) -> int | None:
        """Images that there are; None if they are random."""

    def images(self, count: int | None) -> tuple[IntArray, IntArray | None]:
        """Input integers of `count` images (None: all there are), and their labels if known."""

    def pictures(self, files: Sequence[Path]) -> IntArray:
        """Input integers of image files; UsageError if they cannot be read or do not fit."""

    def reference(self, images: IntArray) -> dict[str, IntArray]:
        """Outputs of every layer, computed by PyTorch."""


class NetworkSource:
    """A saved network with a user's images, or with random ones, uniform over the input type.

    The reference is PyTorch carrying out the network's integer arithmetic.

    Parameters
    ----------
    network : IntegerNetwork
    seed : int
        Of the images.
    meaning : Meaning, optional
        What its integers stand for.
    own : Path, optional
        Where the user's images are: see :func:`~systolith.stages.image_files.read_images`.
    """

    ALL = 256
    """What "all" means where there is no data set."""

    stages: Mapping[str, Preparation] = {}

    def __init__(
        self,
        network: IntegerNetwork,
        seed: int,
        meaning: Meaning | None = None,
        own: Path | None = None,
    ) -> None:
        self.network, self.seed, self.meaning = network, seed, meaning
        self.own: tuple[IntArray, IntArray | None] | None = None
        if own is not None:
            images, labels = read_images(own)
            self.own = integers_of(images, network, meaning), labels
            if labels is not None:
                check_labels(labels, network)

    @property
    def available(self) -> int | None:
        """Images of the user's own."""
        return None if self.own is None else len(self.own[0])

    def check(self, problems: Problems, judge: Judge | None) -> None:
        """Need nothing: there are no such stages."""

    def running(self) -> AbstractContextManager[None]:
        """Need nothing."""
        return nullcontext()

    def images(self, count: int | None) -> tuple[IntArray, IntArray | None]:
        """Take the user's images, or draw some, whose labels are unknown."""
        if self.own is not None:
            images, labels = self.own
            return images[:count], None if labels is None else labels[:count]
        act = self.network.input.type
        rng = np.random.default_rng(self.seed)
        shape = (count or self.ALL, *self.network.input.shape)
        return rng.integers(act.low, act.high + 1, shape), None

    def pictures(self, files: Sequence[Path]) -> IntArray:
        """Read integers from ``*.npy``: how pictures become integers is not in a saved network."""
        tensor = self.network.input
        images, problems = [], []
        for file in files:
            try:
                image = np.load(file)
            except (OSError, ValueError) as error:
                problems.append(f"'{file}' cannot be read as .npy: {error}")
                continue
            if image.shape != tensor.shape or image.dtype.kind not in "iu":
                wanted = f"integers of shape {tensor.shape}"
                problems.append(f"'{file}' must have {wanted}, got {image.dtype} {image.shape}")
            elif image.min() < tensor.type.low or image.max() > tensor.type.high:
                ends = f"{tensor.type.low}..{tensor.type.high}"
                problems.append(f"'{file}' must be within {ends}, got {image.min()}..{image.max()}")
            else:
                images.append(image)
        if problems:
            raise UsageError("; ".join(problems))
        return np.stack(images).astype(np.int64)

    def reference(self, images: IntArray) -> dict[str, IntArray]:
        """Outputs of every layer, computed by PyTorch."""
        return mirror(self.network).trace(images)
