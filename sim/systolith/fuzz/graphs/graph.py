"""An ONNX graph with images, as a case that can lose parts."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from systolith.fuzz.target import explain_damage

__all__ = ["Graph", "Images"]

Images = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A model, images for it, and facts about its arithmetic.

    Attributes
    ----------
    model : ModelProto
    images : array, shape (N, ...)
        Values of the type of the model's input.
    qonnx : bool
        Whether the executor of qonnx is the reference; else ONNX Runtime is.
    dyadic : bool
        Whether scales and constants are such that the reference, in float32, rounds nothing. Then
        exact imports must give equal results, ties included.
    types : mapping of str to int
        Element type of each tensor.
    covers : tuple of str
        Features of the graph, for the coverage table.
    """

    model: ModelProto
    images: Images
    qonnx: bool
    dyadic: bool
    types: Mapping[str, int]
    covers: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Hash of the whole content of the graph."""
        content = self.model.SerializeToString(deterministic=True) + self.images.tobytes()
        return sha256(content).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``model.onnx``, ``images.npy`` and ``case.json``, and ``model.txt`` for people."""
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(self.model, folder / "model.onnx")
        np.save(folder / "images.npy", self.images)
        settings: dict[str, Any] = {"qonnx": self.qonnx, "dyadic": self.dyadic}
        settings |= {"types": dict(self.types), "covers": list(self.covers)}
        (folder / "case.json").write_text(json.dumps(settings, indent=1) + "\n")
        (folder / "model.txt").write_text(onnx.printer.to_text(self.model) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Graph":
        """Read a graph that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If a file is missing or damaged.
        """
        with explain_damage(folder, "an ONNX graph"):
            settings = json.loads((folder / "case.json").read_text())
            model = ModelProto()
            model.ParseFromString((folder / "model.onnx").read_bytes())
            images = np.load(folder / "images.npy")
            covers = tuple(settings.pop("covers"))
            return cls(model=model, images=images, covers=covers, **settings)

    def simpler(self) -> Iterator["Graph"]:
        """List graphs with fewer nodes or attributes; some cannot run."""
        nodes = list(self.model.graph.node)
        for place in range(len(nodes) - 1):
            if nodes[place].output[0] not in {tensor.name for tensor in self.model.graph.output}:
                yield self.until(nodes[: place + 1])
        for place in reversed(range(len(nodes))):
            yield self._without(nodes, place)
        for place in reversed(range(len(nodes) - 1)):
            yield self._without(nodes, place, place + 1)
        for place, node in enumerate(nodes):
            for name in [attribute.name for attribute in node.attribute]:
                shorter = NodeProto()
                shorter.CopyFrom(node)
                kept = [attribute for attribute in node.attribute if attribute.name != name]
                del shorter.attribute[:]
                shorter.attribute.extend(kept)
                yield self._with([*nodes[:place], shorter, *nodes[place + 1 :]])

    def until(self, nodes: list[NodeProto]) -> "Graph":
        """Return the graph that ends with the last of these nodes."""
        return self._with(nodes, nodes[-1].output[0])

    def _without(self, nodes: list[NodeProto], *places: int) -> "Graph":
        """Remove nodes; readers of their results read their first inputs instead."""
        kept: list[NodeProto] = []
        instead: dict[str, str] = {}
        for place, node in enumerate(nodes):
            copy = NodeProto()
            copy.CopyFrom(node)
            for index, name in enumerate(copy.input):
                copy.input[index] = instead.get(name, name)
            if place in places and copy.input:
                instead[copy.output[0]] = copy.input[0]
            else:
                kept.append(copy)
        return self._with(kept, instead.get(self.model.graph.output[0].name, ""))

    def _with(self, nodes: list[NodeProto], output: str = "") -> "Graph":
        """Return a graph of those of the nodes that the output depends on."""
        model = ModelProto()
        model.CopyFrom(self.model)
        if output:
            model.graph.output[0].name = output
            model.graph.output[0].type.tensor_type.ClearField("shape")
            model.graph.output[0].type.tensor_type.elem_type = self.types[output]
        needed = {tensor.name for tensor in model.graph.output}
        kept = []
        for node in reversed(nodes):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(node.input)
        inputs = {tensor.name for tensor in model.graph.initializer} - needed
        constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
        listed = [tensor for tensor in model.graph.input if tensor.name not in inputs]
        for part, values in (("node", kept[::-1]), ("initializer", constants), ("input", listed)):
            model.graph.ClearField(part)
            getattr(model.graph, part).extend(values)
        return Graph(
            model=model,
            images=self.images,
            qonnx=self.qonnx,
            dyadic=self.dyadic,
            types=self.types,
            covers=self.covers,
        )
