"""Float ONNX files for ``systolith import --calibrate``: quantized first, accuracy at the end."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange import ImportedModel, quantize_onnx, run_onnx
from systolith.foundation import UsageError
from systolith.network import forward, gives_class
from systolith.stages.image_files import check_labels

__all__ = ["count_accuracy", "write_quantized"]

Images = NDArray[Any]
BATCH = 32
"""Images that the integer network computes together."""


def write_quantized(
    file: Path, target: Path, images: Images, input_shape: tuple[int, ...] | None
) -> None:
    """Quantize a float file with calibration images, and write it."""
    model = quantize_onnx(file, images, input_shape=input_shape)
    target.write_bytes(model.SerializeToString())


def count_accuracy(
    file: Path, model: ImportedModel, images: Images, labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Count how many images the float file and the integer network classify correctly."""
    check_labels(labels, model.network)
    if len(model.network.outputs) != 1:
        raise UsageError("labels belong to a model of one output; leave them out")
    floats = next(iter(run_onnx(file, images.astype(np.float32)).values()))
    classes = gives_class(model.network, model.network.outputs[0])
    integers = []
    for start in range(0, len(images), BATCH):
        part = model.quantize_input(images[start : start + BATCH].astype(np.float32))
        integers += list(model.real(forward(model.network, part)).values())
    return {
        "images": len(images),
        "float": _share(floats, labels, classes=floats.dtype.kind == "i"),
        "integer": _share(np.concatenate(integers), labels, classes=classes),
    }


def _share(results: NDArray[Any], labels: NDArray[np.int64], *, classes: bool) -> float:
    """Give the share of right classes; `classes` says that the results are classes, not logits."""
    flat = results.reshape(len(labels), -1)
    found = flat[:, 0] if classes and flat.shape[1] == 1 else flat.argmax(1)
    return float((found == labels).mean())
