"""A network whose outputs are replaced by their classes, which the hardware finds."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from systolith.emit import Meaning
from systolith.foundation import ProblemCollector
from systolith.network import ArgMax, IntArray, IntegerNetwork, append_argmax
from systolith.stages.sources import Judge, Source
from systolith.stages.stage import Stage

__all__ = ["ClassSource"]


class ClassSource:
    """Another source's network with an ArgMax behind each output.

    Training, lowering and the saved network stay as they are, so that one network serves designs
    that give logits and designs that give classes.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    @property
    def stages(self) -> Sequence[Stage]:
        """Stages of the other source."""
        return self.source.stages

    @cached_property
    def network(self) -> IntegerNetwork:
        """The network with classes as outputs; NetworkError if an output has none."""
        return append_argmax(self.source.network)

    @property
    def meaning(self) -> Meaning | None:
        """What the integers stand for: classes stand for themselves."""
        meaning = self.source.meaning
        if meaning is None:
            return None
        scales = dict.fromkeys(self.network.outputs, 1.0)
        return replace(meaning, output_scales=scales, orders={}, ends={})

    @property
    def dense_shapes(self) -> Mapping[str, Sequence[int]] | None:
        """Shapes of the weights before filters were removed."""
        return self.source.dense_shapes

    def check(self, problems: ProblemCollector, judge: Judge | None) -> None:
        """Check what the stages need; judges append the classes themselves."""
        self.source.check(problems, judge)

    def running(self) -> AbstractContextManager[None]:
        """Return the context in which stages run."""
        return self.source.running()

    @property
    def available(self) -> int | None:
        """Number of images."""
        return self.source.available

    def images(self, count: int | None) -> tuple[IntArray, IntArray | None]:
        """Return the input integers of images, and their labels if known."""
        return self.source.images(count)

    def pictures(self, files: Sequence[Path]) -> IntArray:
        """Return the input integers of image files."""
        return self.source.pictures(files)

    def reference(self, images: IntArray) -> dict[str, IntArray]:
        """Compute the outputs of every layer with PyTorch, classes with ``torch.argmax``."""
        import torch

        values = self.source.reference(images)
        for layer in self.network.layers:
            if isinstance(layer, ArgMax):
                logits = torch.from_numpy(values[layer.input])
                values[layer.name] = torch.argmax(logits, dim=1, keepdim=True).numpy()
        return values
