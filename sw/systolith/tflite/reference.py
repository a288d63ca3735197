"""Comparison with TFLite's reference kernels, layer by layer."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.network import INPUT, IntegerNetwork, trace
from systolith.tflite.activation import Activation
from systolith.tflite.errors import KernelDisagreementError, TfliteError
from systolith.tflite.graph import FileGraph
from systolith.tflite.inputs import FileInputs
from systolith.tflite.places import invert_places
from systolith.tflite.versions import list_versions

__all__ = ["KernelAgreement", "compare_with_kernels", "resolve_shapes", "run_kernels"]

EXECUTOR = "ai-edge-litert"
REPORT_HINT = "please report this with the file; --no-check (check=False) imports it all the same"
SEED = 0
OF_ANY_BATCH = ("SHAPE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
"""Operators behind which shapes may be stand-ins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelAgreement:
    """Result of a comparison with TFLite's reference kernels; all values are equal.

    Attributes
    ----------
    executor : str
        Name and version.
    images, layers, values : int
        Number of random images, of layers, and of values of all layers.
    """

    executor: str
    images: int
    layers: int
    values: int

    def __str__(self) -> str:
        return (
            f"equal to the reference kernels of {self.executor} on {self.images} random images, "
            f"all {self.values:,} values of {self.layers} layers"
        )


def run_kernels(
    path: Path | str, images: NDArray[Any], tensors: tuple[int, ...] = ()
) -> list[NDArray[Any]]:
    """Run a file with TFLite's reference kernels.

    Parameters
    ----------
    path : Path or str
    images : array of int8, shape (N, ...)
        In the file's layout, without the batch of 1; the channels of several inputs follow each
        other.
    tensors : tuple of int
        Numbers of tensors to return; the outputs if there are none.

    Returns
    -------
    list of array of int8, shape (N, ...)

    Raises
    ------
    TfliteError
        If TFLite refuses the file.
    """
    interpreter = _interpret(path, preserve=bool(tensors))
    sources = interpreter.get_input_details()
    ends = np.cumsum([source["shape"][-1] for source in sources])
    wanted = tensors or tuple(output["index"] for output in interpreter.get_output_details())
    results: list[list[NDArray[Any]]] = [[] for _ in wanted]
    for image in images:
        for source, part in zip(sources, np.split(image, ends[:-1], axis=-1), strict=True):
            interpreter.set_tensor(source["index"], part[None].astype(source["dtype"]))
        interpreter.invoke()
        for values, number in zip(results, wanted, strict=True):
            tensor = interpreter.get_tensor(number)
            values.append(tensor[0].copy() if tensor.shape[:1] == (1,) else tensor.copy())
    return [np.array(values) for values in results]


def resolve_shapes(path: Path, graph: FileGraph) -> FileGraph:
    """Replace shapes that the file computes by those that the reference kernels find.

    A file for batches of any size has stand-ins for shapes that depend on the batch.
    """
    if all(operator.kind not in OF_ANY_BATCH for operator in graph.operators):
        return graph
    numbers = tuple({number for operator in graph.operators for number in operator.outputs})
    interpreter = _interpret(path, preserve=True)
    interpreter.invoke()
    tensors = list(graph.tensors)
    for number in numbers:
        shape = tuple(int(size) for size in interpreter.get_tensor(number).shape)
        tensors[number] = replace(tensors[number], shape=shape)
    return replace(graph, tensors=tuple(tensors))


def _interpret(path: Path | str, *, preserve: bool) -> Any:
    """Load a file for the reference kernels.

    Raises
    ------
    TfliteError
        If TFLite refuses the file.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            model_content=list_versions(Path(path).read_bytes()),
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=preserve,
        )
        interpreter.allocate_tensors()
    # An operator that the interpreter does not know is a ValueError.
    except (RuntimeError, ValueError, OSError, struct.error) as error:
        raise TfliteError([f"TFLite itself refuses '{path}': {error}"]) from error
    return interpreter


def compare_with_kernels(
    path: Path,
    network: IntegerNetwork,
    inputs: FileInputs,
    values: Mapping[int, Activation],
    *,
    count: int,
) -> KernelAgreement:
    """Compare every layer with the reference kernels on random images.

    Parameters
    ----------
    path : Path
    network : IntegerNetwork
    inputs : FileInputs
    values : mapping of int to Activation
        Results of layers, by number of tensor.
    count : int
        Number of images.

    Raises
    ------
    KernelDisagreementError
        If a value differs; it names the first layer.
    """
    source = inputs.source
    act = source.type
    shape = (count, *source.tensor.shape[1:])
    images = np.random.default_rng(SEED).integers(act.low, act.high + 1, shape)
    numbers = tuple(number for number, x in values.items() if x.layer != INPUT)
    flat = images.reshape(count, -1)
    found = trace(network, flat[:, invert_places(source.places, source.shape)])
    total = 0
    # A quantizer that is left to the host passes on the integers whose real values it gets.
    given = (images - act.zero_point) * source.scale if inputs.hosted else images
    for number, result in zip(numbers, run_kernels(path, given, numbers), strict=True):
        x = values[number]
        wanted = result.reshape(count, -1).astype(np.int64)
        total += wanted.size
        own = found[x.layer].reshape(count, -1)[:, x.places.ravel()]
        differing = int((own != wanted).sum())
        if differing:
            raise KernelDisagreementError(
                f"layer '{x.layer}': {differing:,} of {wanted.size:,} values differ from "
                f"TFLite's reference kernels ('{x.tensor.name}'); {REPORT_HINT}"
            )
    return KernelAgreement(
        executor=f"{EXECUTOR} {version(EXECUTOR)}",
        images=count,
        layers=len(numbers),
        values=total,
    )
