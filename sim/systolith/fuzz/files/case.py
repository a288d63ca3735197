"""A TFLite file with images, as a case that can lose operators."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as litert
from numpy.typing import NDArray

from systolith.fuzz.target import explain_damage

__all__ = ["FileCase"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FileCase:
    """A file, images for it, and the operators in it.

    Attributes
    ----------
    content : bytes
    images : array of int8, shape (N, ...)
    covers : tuple of str
        Kinds of operators, for the coverage table.
    """

    content: bytes
    images: NDArray[np.int8]
    covers: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Hash of the whole content of the case."""
        return sha256(self.content + self.images.tobytes()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``model.tflite``, ``images.npy`` and ``case.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.tflite").write_bytes(self.content)
        np.save(folder / "images.npy", self.images)
        (folder / "case.json").write_text(json.dumps({"covers": list(self.covers)}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "FileCase":
        """Read a case that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If a file is missing or damaged.
        """
        with explain_damage(folder, "a TFLite file"):
            covers = json.loads((folder / "case.json").read_text())["covers"]
            content = (folder / "model.tflite").read_bytes()
            images = np.load(folder / "images.npy")
            litert.ModelT.InitFromPackedBuf(content, 0)
            return cls(content=content, images=images, covers=tuple(covers))

    def simpler(self) -> Iterator["FileCase"]:
        """List files with fewer operators or outputs, the smallest first; some cannot run."""
        count = len(self._model().subgraphs[0].operators)
        for place in range(count - 1):
            yield self._until(place)
        for place in reversed(range(count)):
            yield self._without(place)

    def _model(self) -> Any:
        return litert.ModelT.InitFromPackedBuf(self.content, 0)

    def _until(self, place: int) -> "FileCase":
        """Return the file that ends with an operator."""
        model = self._model()
        graph = model.subgraphs[0]
        graph.operators = graph.operators[: place + 1]
        graph.outputs = list(graph.operators[place].outputs)
        return self._with(model)

    def _without(self, place: int) -> "FileCase":
        """Remove an operator; readers of its results read its first computed input instead."""
        model = self._model()
        graph = model.subgraphs[0]
        gone = graph.operators.pop(place)
        made = {number for one in graph.operators for number in one.outputs} | set(graph.inputs)
        source = next((number for number in gone.inputs if number in made), graph.inputs[0])
        for one in graph.operators:
            one.inputs = [source if number in gone.outputs else number for number in one.inputs]
        graph.outputs = [source if number in gone.outputs else number for number in graph.outputs]
        return self._with(model)

    def _with(self, model: Any) -> "FileCase":
        builder = flatbuffers.Builder(4096)
        builder.Finish(model.Pack(builder), b"TFL3")
        return FileCase(content=bytes(builder.Output()), images=self.images, covers=self.covers)
