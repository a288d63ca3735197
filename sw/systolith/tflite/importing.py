"""Import of TFLite int8 files as integer networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.network import (
    INPUT,
    MAX_MULTIPLIER_BITS,
    IntArray,
    IntegerNetwork,
    Shape,
    Tensor,
)
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import parse_tflite
from systolith.tflite.narrowing import narrow_multipliers
from systolith.tflite.operators.classes import append_classes
from systolith.tflite.places import invert_places
from systolith.tflite.reading import read_graph
from systolith.tflite.reference import KernelAgreement, compare_with_kernels, resolve_shapes

__all__ = ["ImportedTflite", "import_tflite"]

LEAST_MULTIPLIER_BITS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportedTflite:
    """An integer network from a TFLite file.

    Attributes
    ----------
    network : IntegerNetwork
    input_scale : float
        Real value of one unit of the input.
    input_tensor : str
        The file's tensor that is the network's input; the names of several, with commas between.
    input_shape : tuple of int
        Shape of one image in the file: (H, W, C) or (features,). The channels of several inputs
        follow each other.
    input_places : array of int64, of the network's input shape
        Index of each element in the flattened image of the file.
    scales : dict of str to float
        Real value of one unit of each output layer.
    tensors : dict of str to str
        The file's tensor of each layer.
    output_tensors : dict of str to int
        Number of the file's tensor, by output layer.
    orders : dict of str to array of int64
        Index of each element of the file's tensor in the flattened result, for output layers that
        the file orders or shapes differently.
    ends : dict of str to str
        By output, what turns its real values into probabilities, ``"softmax"`` or ``"sigmoid"``, if
        it is left to the host.
    notes : tuple of str
        What is left to the host.
    agreement : KernelAgreement or None
        Comparison with TFLite's reference kernels, before multipliers were made narrower; None if
        it was not asked for.
    units : dict of str to int
        By how many units values of a layer can differ from the reference kernels for equal inputs.
        Empty unless multipliers were made narrower.
    """

    network: IntegerNetwork
    input_scale: float
    input_tensor: str
    input_shape: Shape
    input_places: IntArray
    scales: Mapping[str, float]
    tensors: Mapping[str, str]
    output_tensors: Mapping[str, int]
    orders: Mapping[str, IntArray]
    ends: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    agreement: KernelAgreement | None = None
    units: Mapping[str, int] = field(default_factory=dict)

    def arrange_input(self, images: NDArray[Any]) -> IntArray:
        """Bring int8 images of the file, shape (N, ...), into the network's order."""
        if images.shape[1:] != self.input_shape:
            wanted = ", ".join(map(str, self.input_shape))
            raise TfliteError([f"images must have shape (N, {wanted}), got {images.shape}"])
        flat = images.reshape(len(images), -1).astype(np.int64)
        return np.asarray(flat[:, self.input_places])

    def arrange_outputs(self, outputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """Bring outputs of the network into the file's order and shape."""
        return {
            name: values
            if name not in self.orders
            else np.asarray(values.reshape(len(values), -1)[:, self.orders[name]])
            for name, values in outputs.items()
        }


def import_tflite(
    path: Path | str,
    *,
    check: bool = True,
    images: int = 8,
    multiplier_bits: int = MAX_MULTIPLIER_BITS,
    class_on_chip: bool = False,
) -> ImportedTflite:
    """Import a TFLite file with int8 activations and weights as an integer network.

    The network computes what TFLite's *reference kernels* compute, bit for bit. XNNPACK, which
    TFLite's interpreter uses by default, rounds once where most of these kernels round twice, so
    it differs from them.

    Parameters
    ----------
    path : Path or str
        Path of the file.
    check : bool
        Whether to compare every layer with the reference kernels on random images.
    images : int
        Number of these images.
    multiplier_bits : int
        Bits of multipliers, 8..31. With fewer than 31, the network takes fewer multipliers of the
        device, and values may differ by `units` of the result.
    class_on_chip : bool
        Whether each output is a class, found by an ArgMax on the chip, in place of logits. By
        default, an ARG_MAX at the end is left to the host.

    Raises
    ------
    TfliteError
        With every problem of the file; each names the operator, the requirement and the nearest
        supported rewrite.
    KernelDisagreementError
        If the reference kernels compute something else; it names the first layer that differs.
    """
    if not LEAST_MULTIPLIER_BITS <= multiplier_bits <= MAX_MULTIPLIER_BITS:
        wanted = f"{LEAST_MULTIPLIER_BITS}..{MAX_MULTIPLIER_BITS}"
        raise TfliteError([f"multiplier_bits must lie in {wanted}, got {multiplier_bits}"])
    path = Path(path)
    graph = resolve_shapes(path, parse_tflite(path))
    read = read_graph(graph, class_on_chip=class_on_chip)
    source = read.inputs.source
    network = IntegerNetwork(
        name=_network_name(graph.name),
        input=Tensor(source.shape, source.type),
        layers=tuple(read.draft.layers),
        outputs=tuple(dict.fromkeys(x.layer for x in read.outputs.values())),
    )
    agreement = None
    if check:
        agreement = compare_with_kernels(path, network, read.inputs, read.values, count=images)
    logits: dict[str, str] = {}
    if class_on_chip:
        network, logits = append_classes(network)
    narrowed = narrow_multipliers(network, multiplier_bits)
    imported = ImportedTflite(
        network=narrowed.network,
        units=narrowed.units,
        input_scale=source.scale,
        input_tensor=source.tensor.name,
        input_shape=source.tensor.shape[1:],
        input_places=invert_places(source.places, source.shape),
        scales={x.layer: x.scale for x in read.outputs.values()},
        tensors={
            x.layer: graph.tensors[number].name
            for number, x in read.values.items()
            if x.layer != INPUT
        },
        output_tensors={x.layer: number for number, x in read.outputs.items()},
        orders={x.layer: order for x in read.outputs.values() if (order := _order(x)) is not None},
        ends={
            x.layer: read.draft.ends[number]
            for number, x in read.outputs.items()
            if number in read.draft.ends and not class_on_chip
        },
        notes=tuple(read.draft.notes),
        agreement=agreement,
    )
    return _rename_outputs(imported, logits) if logits else imported


def _rename_outputs(imported: ImportedTflite, logits: dict[str, str]) -> ImportedTflite:
    """Describe classes that took the place of logits; they stand for themselves."""
    kept = {name for name in imported.network.outputs if name not in logits}
    notes = [
        f"output '{name}' is the class of '{imported.tensors[source]}', found on the chip"
        for name, source in logits.items()
    ]
    return replace(
        imported,
        scales={
            **{name: scale for name, scale in imported.scales.items() if name in kept},
            **dict.fromkeys(logits, 1.0),
        },
        tensors={
            **imported.tensors,
            **{name: imported.tensors[source] for name, source in logits.items()},
        },
        output_tensors={
            **{name: imported.output_tensors[name] for name in kept},
            **{name: imported.output_tensors[source] for name, source in logits.items()},
        },
        orders={name: order for name, order in imported.orders.items() if name in kept},
        notes=(*imported.notes, *notes),
    )


def _order(x: Activation) -> IntArray | None:
    """Give the index of each element of the file's tensor in the layer's result."""
    shape = x.tensor.shape
    places = x.places.reshape(shape[1:] if shape[:1] == (1,) else shape)
    return None if np.array_equal(places, np.arange(x.shape[0])) else np.asarray(places)


def _network_name(name: str) -> str:
    name = "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in name)
    return f"n{name}" if not name or name[0].isdigit() else name
