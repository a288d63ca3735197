"""Where a network and its reference come from: an experiment, or a saved network."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np

from systolith.emit import Meaning
from systolith.foundation import ProblemCollector, UsageError
from systolith.network import IntArray, IntegerNetwork
from systolith.stages.image_files import check_labels, quantize_images, read_images
from systolith.stages.stage import Stage

__all__ = ["Judge", "NetworkSource", "Source"]

Judge = Callable[[IntegerNetwork, bool], None]
"""Called with an untrained network, and whether pruning will change its shapes or patterns.

Raises PlanError if there can be no engines for it.
"""


class Source(Protocol):
    """An integer network, images for it, and the PyTorch reference."""

    @property
    def stages(self) -> Sequence[Stage]:
        """Stages that make the network; they run first."""

    @property
    def network(self) -> IntegerNetwork:
        """What the hardware computes; available once the stages have run."""

    @property
    def meaning(self) -> Meaning | None:
        """What the network's integers stand for, where that is known."""

    @property
    def dense_shapes(self) -> Mapping[str, Sequence[int]] | None:
        """Shapes of the weights before filters were removed, by layer; None if none were."""

    def check(self, problems: ProblemCollector, judge: Judge | None) -> None:
        """Check what the stages need, before any of them runs."""

    def running(self) -> AbstractContextManager[None]:
        """Return the context in which stages run."""

    @property
    def available(self) -> int | None:
        """Number of images; None if they are random."""

    def images(self, count: int | None) -> tuple[IntArray, IntArray | None]:
        """Return the input integers of `count` images (None: all), and their labels if known."""

    def pictures(self, files: Sequence[Path]) -> IntArray:
        """Return the input integers of image files; UsageError if a file is wrong."""

    def reference(self, images: IntArray) -> dict[str, IntArray]:
        """Compute the outputs of every layer with PyTorch."""


class NetworkSource:
    """A saved network with the user's images, or with random ones, uniform over the input type.

    The reference is the network's integer arithmetic in PyTorch.

    Parameters
    ----------
    network : IntegerNetwork
    seed : int
        Seed of random images.
    meaning : Meaning, optional
        What the network's integers stand for.
    own : Path, optional
        File or folder of the user's images; see :func:`~systolith.stages.image_files.read_images`.
    """

    ALL = 256
    """Number of random images that "all" stands for."""

    stages: Sequence[Stage] = ()
    dense_shapes: Mapping[str, Sequence[int]] | None = None

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
            self.own = quantize_images(images, network, meaning), labels
            if labels is not None:
                check_labels(labels, network)

    @property
    def available(self) -> int | None:
        """Number of the user's images."""
        return None if self.own is None else len(self.own[0])

    def check(self, problems: ProblemCollector, judge: Judge | None) -> None:
        """Check nothing: there are no stages."""

    def running(self) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()

    def images(self, count: int | None) -> tuple[IntArray, IntArray | None]:
        """Return the user's images, or draw random ones without labels."""
        if self.own is not None:
            images, labels = self.own
            return images[:count], None if labels is None else labels[:count]
        act = self.network.input.type
        rng = np.random.default_rng(self.seed)
        shape = (count or self.ALL, *self.network.input.shape)
        return rng.integers(act.low, act.high + 1, shape), None

    def pictures(self, files: Sequence[Path]) -> IntArray:
        """Read integers from ``*.npy``; a saved network does not say how pictures are quantized."""
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
        """Compute the outputs of every layer with PyTorch."""
        from systolith.frontend import mirror  # needs PyTorch

        return mirror(self.network).trace(images)
