"""One ONNX graph with its images, as data that can lose parts."""

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

__all__ = ["Graph", "Images", "load_graph"]

Images = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A model, images for it, and what is known of its arithmetic.

    Attributes
    ----------
    model : ModelProto
    images : array, shape (N, ...)
        Of the type of the model's input.
    qonnx : bool
        Whether qonnx's executor is the reference, else ONNX Runtime.
    dyadic : bool
        Whether all scales and constants are such that the reference, in float32, rounds nothing:
        then results that are called exact must be equal, ties included.
    types : mapping of str to int
        Element type of each tensor.
    covers : tuple of str
        What the graph contains, for the table of what was covered.
    """

    model: ModelProto
    images: Images
    qonnx: bool
    dyadic: bool
    types: Mapping[str, int]
    covers: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Hash of all that the case is."""
        content = self.model.SerializeToString(deterministic=True) + self.images.tobytes()
        return sha256(content).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``model.onnx``, ``images.npy``, ``case.json``, and to be read ``model.txt``."""
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(self.model, folder / "model.onnx")
        np.save(folder / "images.npy", self.images)
        settings: dict[str, Any] = {"qonnx": self.qonnx, "dyadic": self.dyadic}
        settings |= {"types": dict(self.types), "covers": list(self.covers)}
        (folder / "case.json").write_text(json.dumps(settings, indent=1) + "\n")
        (folder / "model.txt").write_text(onnx.printer.to_text(self.model) + "\n")

    def simpler(self) -> Iterator["Graph"]:
        """List graphs with a little less; some cannot run."""
        nodes = list(self.model.graph.node)
        for place in range(len(nodes) - 1):
            if nodes[place].output[0] not in {each.name for each in self.model.graph.output}:
                yield self.until(nodes[: place + 1])
        for place in reversed(range(len(nodes))):
            yield self._without(nodes, place)
        for place in reversed(range(len(nodes) - 1)):
            yield self._without(nodes, place, place + 1)
        for place, node in enumerate(nodes):
            for name in [each.name for each in node.attribute]:
                shorter = NodeProto()
                shorter.CopyFrom(node)
                kept = [each for each in node.attribute if each.name != name]
                del shorter.attribute[:]
                shorter.attribute.extend(kept)
                yield self._with([*nodes[:place], shorter, *nodes[place + 1 :]])

    def until(self, nodes: list[NodeProto]) -> "Graph":
        """End with the last of these nodes."""
        return self._with(nodes, nodes[-1].output[0])

    def _without(self, nodes: list[NodeProto], *places: int) -> "Graph":
        """Leave nodes out; who reads their results reads their first inputs."""
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
        """Have these nodes, as far as the output depends on them."""
        model = ModelProto()
        model.CopyFrom(self.model)
        if output:
            model.graph.output[0].name = output
            model.graph.output[0].type.tensor_type.ClearField("shape")
            model.graph.output[0].type.tensor_type.elem_type = self.types[output]
        needed = {each.name for each in model.graph.output}
        kept = []
        for node in reversed(nodes):
            if needed & set(node.output):
                kept.append(node)
                needed |= set(node.input)
        inputs = {each.name for each in model.graph.initializer} - needed
        constants = [each for each in model.graph.initializer if each.name in needed]
        listed = [each for each in model.graph.input if each.name not in inputs]
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


def load_graph(folder: Path) -> Graph:
    """Read what :meth:`Graph.save` wrote.

    Raises
    ------
    ValueError
        If it is missing or damaged.
    """
    try:
        settings = json.loads((folder / "case.json").read_text())
        model = ModelProto()
        model.ParseFromString((folder / "model.onnx").read_bytes())
        images = np.load(folder / "images.npy")
        covers = tuple(settings.pop("covers"))
        return Graph(model=model, images=images, covers=covers, **settings)
    except Exception as error:  # protobuf has its own
        raise ValueError(f"{folder} does not hold an ONNX graph: {error}") from error
