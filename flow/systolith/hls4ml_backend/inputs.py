"""Inputs of a model as the input of a network: several are one tensor, channel after channel."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.fixed_type import FixedType, fixed_type, type_problem
from systolith.hls4ml_backend.form import Form
from systolith.hls4ml_backend.tensors import PendingTensor
from systolith.network import (
    INPUT,
    ActType,
    IntArray,
    NetworkError,
    SelectChannels,
    Tensor,
)

__all__ = ["MappedInputs", "is_transposed_first", "list_entries", "map_inputs"]

JOINED = "several inputs are channels of one tensor"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An input: its shape (C, H, W) in the network, its type, and its order in hls4ml."""

    node: Any
    image: tuple[int, int, int]
    kind: FixedType
    view: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedInputs:
    """The inputs of a model.

    Attributes
    ----------
    values : dict of str to PendingTensor
        By tensor of hls4ml.
    kind : FixedType
        Type that inputs are converted to.
    views : tuple of array of int64
        By input, index of each element of hls4ml's input in the flattened input of the network.
    """

    values: dict[str, PendingTensor]
    kind: FixedType
    views: tuple[IntArray, ...]


def map_inputs(assembly: Assembly, nodes: list[Any]) -> MappedInputs | None:
    """Make the network's input, and select the channels of each input if there are several.

    Parameters
    ----------
    assembly : Assembly
        Gets the input, the layers that select, and all problems.
    nodes : list
        Input layers of hls4ml, in the model's order.

    Returns
    -------
    MappedInputs or None
        None if an input is not supported, which was reported.
    """
    found = [_read(assembly, node) for node in nodes]
    entries = [entry for entry in found if entry is not None]
    if not entries or len(entries) < len(nodes) or not _are_alike(assembly, entries):
        return None
    channels = sum(entry.image[0] for entry in entries)
    kind, (_, height, width) = entries[0].kind, entries[0].image
    act = ActType(bits=kind.width, signed=kind.signed)
    assembly.add_input(Tensor((channels, height, width), act))
    form = Form(fraction=kind.fraction, low=act.low, high=act.high)
    values, views, begin = {}, [], 0
    for entry in entries:
        whole = PendingTensor(source=INPUT, form=form, view=entry.view, shape=entry.image)
        end = begin + entry.image[0]
        name = entry.node.outputs[0]
        views.append(entry.view + begin * height * width)
        values[name] = whole
        if len(entries) > 1:
            made = SelectChannels(
                name=assembly.claim_name(entry.node.name),
                input=INPUT,
                channels=tuple(range(begin, end)),
            )
            values[name] = assembly.select(made, whole)
        begin = end
    return MappedInputs(values=values, kind=kind, views=tuple(views))


def list_entries(graph: Any) -> list[Any]:
    """List the input layers of a graph, in the model's order."""
    entries = {node.outputs[0]: node for node in graph.get_layers() if node.class_name == "Input"}
    return [entries[name] for name in graph.inputs if name in entries]


def is_transposed_first(node: Any) -> bool:
    """Whether images have channels first and all their readers transpose them to channels last."""
    readers = [reader for reader in node.model.get_layers() if node.outputs[0] in reader.inputs]
    return bool(readers) and all(
        reader.class_name == "Transpose" and list(reader.get_attr("perm")) in ([1, 2, 0], [1, 0])
        for reader in readers
    )


def _read(assembly: Assembly, node: Any) -> _Entry | None:
    """Read one input; None if it is not supported, which was reported."""
    variable = node.get_output_variable()
    shape = tuple(int(size) for size in variable.shape)
    precision = variable.type.precision
    if problem := type_problem(precision):
        assembly.refuse(node.name, problem)
        return None
    if not 1 <= len(shape) <= 3:
        assembly.refuse(node.name, f"inputs have 1 to 3 dimensions, got shape {shape}")
        return None
    kind = fixed_type(precision)
    try:
        ActType(bits=kind.width, signed=kind.signed)
    except NetworkError as error:
        assembly.refuse(node.name, f"{error}; set Precision.result to at most 16 bits")
        return None
    channels_first = is_transposed_first(node)
    height, width, channels = (1, 1, 1, *shape)[-3:]
    image = (channels, height, width)
    if channels_first:
        image = (shape[0], shape[1] if len(shape) == 3 else 1, shape[-1])
    view = np.arange(np.prod(image)).reshape(image)
    if not channels_first:
        view = view.transpose(1, 2, 0)
    return _Entry(node=node, image=image, kind=kind, view=view.reshape(shape))


def _are_alike(assembly: Assembly, entries: list[_Entry]) -> bool:
    """Compare sizes and types of inputs; report each that differs from the first."""
    first, alike = entries[0], True
    for entry in entries:
        (_, *size), (_, *wanted) = entry.image, first.image
        if size != wanted:
            sizes = f"has {tuple(size)} pixels, and input '{first.node.name}' {tuple(wanted)}"
            assembly.refuse(entry.node.name, f"{sizes}; {JOINED}: pad or upsample on the host")
            alike = False
        if entry.kind != first.kind:
            types = f"has the type {entry.kind}, and input '{first.node.name}' {first.kind}"
            assembly.refuse(entry.node.name, f"{types}; {JOINED}: give all the same Precision")
            alike = False
    return alike
