"""Quantization of float ONNX files with calibration images, by ONNX Runtime."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, version_converter

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.loading import model_inputs
from systolith.exchange.file.model_file import ModelFile, Node, read_model
from systolith.exchange.importing import import_model
from systolith.exchange.nodes.constants import QUANTIZERS
from systolith.exchange.nodes.operators import OPERATORS
from systolith.exchange.nodes.tables.functions import FUNCTIONS
from systolith.exchange.nodes.unsupported import drop_tail

__all__ = ["quantize_onnx"]

LEAST_OPSET = 13
"""First operator set with scales per channel; older files are converted to `OPSET`."""
OPSET = 17
BATCH = 32
"""Images per run, if the file leaves the batch open."""
FEW = 2
"""Images that find what is not supported before all images are run."""
KEPT = {"Cast", "CastLike", "Constant", "Dropout", "Floor", "Identity", "Max", "Min", "Pow"}
"""Operators that get no quantizers: their constants are no weights, or they change nothing."""
CHOICES = {
    "ActivationRestrictedAsymmetric": True,
    "ForceQuantizeNoInputCheck": True,
    "WeightSymmetric": True,
}
"""Zero points of activations are 0 if they are never negative, else 128. Operators that move values
quantize them, too."""
OF_EACH_VALUE = ("Add", "Clip", "Div", "Max", "Min", "Mul", "Relu", "Sub")
"""Operators that are part of a function if they read one tensor and constants."""
DYNAMIC = {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"}


def quantize_onnx(
    path: Path | str, images: NDArray[Any], *, input_shape: Sequence[int] | None = None
) -> ModelProto:
    """Quantize a float ONNX file to 8 bits with ONNX Runtime's static quantization.

    Batch norms are folded first. Weights are symmetric, int8, with one scale per channel.
    Activations are uint8; the least and greatest values that the images give set their scales. The
    operators of a tail that is left to the host stay floats.

    Parameters
    ----------
    path : Path or str
        Path of the file.
    images : array of float32, shape (N, *shape of the file's input)
        Calibration images, as the file reads them. A hundred or more are usual.
    input_shape : sequence of int, optional
        Shape of one image, such as (3, 32, 32), if the file leaves sizes open.

    Returns
    -------
    ModelProto
        With QuantizeLinear and DequantizeLinear.

    Raises
    ------
    ExchangeError
        If the file is quantized already, the images do not fit it, or the quantized file cannot be
        imported: with all its problems, before all images are run.
    """
    model = read_model(Path(path), input_shape=input_shape)
    ExchangeError.raise_if_any(_problems(model, images))
    assert model.proto is not None
    images = images.astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared, file = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        _prepare(model, prepared)
        few = np.unique(np.linspace(0, len(images) - 1, FEW).astype(int))
        for part in (images[few], images):
            _quantize(prepared, part, file)
            if part is not images:
                import_model(read_model(file), check=False)
        return onnx.load(file)


def _problems(model: ModelFile, images: NDArray[Any]) -> Iterator[str]:
    quantized = [node for node in model.nodes if node.op in QUANTIZERS]
    if quantized:
        yield (
            f"the file is quantized already, by {quantized[0]}: import it without calibration "
            "images"
        )
    dynamic = sorted({node.op for node in model.nodes if node.op in DYNAMIC})
    if dynamic:
        yield (
            f"the file is quantized dynamically ({', '.join(dynamic)}): calibrate the float file "
            "that it was made of"
        )
    if model.integer is not None:
        yield f"the file reads {model.integer} images; one that reads floats is needed"
    wanted = f"(N, {', '.join(map(str, model.shape))})"
    if images.dtype.kind != "f":
        yield (
            f"calibration images must be floats as the model reads them, scaled and normalized, "
            f"got {images.dtype}"
        )
    elif images.shape[1:] != model.shape or not len(images):
        none = "; one image at least is needed" if images.shape[1:] == model.shape else ""
        yield f"calibration images must have shape {wanted}, got {images.shape}{none}"
    elif not np.isfinite(images).all():
        yield "calibration images must be numbers, got infinite ones or none (NaN)"


def _prepare(model: ModelFile, file: Path) -> None:
    """Write a model that ONNX Runtime can quantize.

    All nodes have names, all shapes are known, batch norms are folded, and the operator set has
    scales per channel.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    proto = ModelProto()
    assert model.proto is not None
    proto.CopyFrom(model.proto)
    for number, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    try:
        if model.opsets.get("", OPSET) < LEAST_OPSET:
            proto = version_converter.convert_version(proto, OPSET)
        # ONNX Runtime moves the constants of a model that is given in memory.
        onnx.save(proto, file)
        quant_pre_process(file, file, skip_symbolic_shape=True)
    except Exception as error:  # ONNX and ONNX Runtime raise exceptions of many types.
        raise ExchangeError.of(f"ONNX Runtime cannot prepare the file: {_shorten(error)}") from None


def _quantize(prepared: Path, images: NDArray[Any], file: Path) -> None:
    """Quantize a prepared model and write it.

    Nodes left to the host stay as they are, and so do the inner nodes of functions of one tensor,
    which become one table.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model = read_model(prepared)
    computed = drop_tail(model).model.nodes
    left = {node.name for node in model.nodes} - {node.name for node in computed}
    left |= {node.name for group in _functions(computed, model) for node in group}
    try:
        quantize_static(
            prepared,
            file,
            _reader(model, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=sorted(({node.op for node in computed} & OPERATORS.keys()) - KEPT),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(left),
            extra_options=CHOICES,
        )
    except Exception as error:  # ONNX Runtime raises exceptions of many types.
        raise ExchangeError.of(f"ONNX Runtime cannot quantize it: {_shorten(error)}") from None


def _functions(nodes: Sequence[Node], model: ModelFile) -> list[list[Node]]:
    """Group the nodes that together compute a function of each value of one tensor."""
    origin: dict[str, str] = {}
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        read = {origin.get(name, name) for name in node.inputs if name not in model.constants}
        if node.op in (*FUNCTIONS, *OF_EACH_VALUE) and len(read - {""}) == 1:
            (source,) = read - {""}
            origin |= dict.fromkeys(node.outputs, source)
            groups.setdefault(source, []).append(node)
    ends = {name: node for node in nodes for name in node.outputs if name in model.outputs}
    return [
        [node for node in group if not any(name in ends for name in node.outputs)]
        for group in groups.values()
        if len(group) > 1 and any(node.op in FUNCTIONS for node in group)
    ]


def _reader(model: ModelFile, images: NDArray[Any]) -> "_Batches":
    """Make a reader of images for ONNX Runtime."""
    assert model.proto is not None
    (source,) = model_inputs(model.proto)
    size = source.type.tensor_type.shape.dim[0].dim_value
    batch = size if size > 0 else min(BATCH, len(images))
    # The first images once more, to fill the last batch: ranges stay as they are.
    filled = images[np.arange(-(-len(images) // batch) * batch) % len(images)]

    return _Batches(model.input, np.split(filled, len(filled) // batch))


class _Batches:
    """A reader for ONNX Runtime, which calls it until it returns None."""

    def __init__(self, name: str, parts: Sequence[NDArray[Any]]) -> None:
        self.name, self.rest = name, iter(parts)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        part = next(self.rest, None)
        return None if part is None else {self.name: part}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the advice that ONNX Runtime logs while it quantizes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
