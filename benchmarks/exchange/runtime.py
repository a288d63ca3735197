"""ResNet-8 quantized by ONNX Runtime, imported, and run in RTL: classes and values compared.

python -m benchmarks.exchange.runtime --data cifar10.npz --weights FOLDER
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.results import write_result
from systolith.bench import compile_native
from systolith.data import load_cifar10
from systolith.emit import write_design
from systolith.exchange import import_onnx
from systolith.models import ResNet8, load_weights
from systolith.network import forward
from systolith.plan import plan_network

RESULTS = Path(__file__).parent / "results"
COMMAND = "python -m benchmarks.exchange.runtime"
CALIBRATION_IMAGES = 256
MULTIPLIERS = 128
FORMATS = {"qdq": QuantFormat.QDQ, "qlinear": QuantFormat.QOperator}
Images = NDArray[np.float32]


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Images to calibrate with, one at a time."""

    def __init__(self, images: Images) -> None:
        self.images: Iterator[Images] = iter(images[:, None])

    def get_next(self) -> dict[str, Images] | None:
        image = next(self.images, None)
        return None if image is None else {"images": image}


def quantized(weights: Path, images: Images, form: str, folder: Path) -> Path:
    """Export the float network, and let ONNX Runtime quantize it to 8 bits."""
    model = ResNet8()
    load_weights(model, weights / "resnet8_cifar10.safetensors", input_scale=255.0)
    plain, ready, path = (folder / f"{name}.onnx" for name in ("float", "ready", form))
    torch.onnx.export(
        model.eval(),
        (torch.from_numpy(images[:1]),),
        str(plain),
        dynamo=False,
        opset_version=17,
        input_names=["images"],
        dynamic_axes={"images": {0: "batch"}},
    )
    quant_pre_process(str(plain), str(ready))
    quantize_static(
        str(ready),
        str(path),
        Reader(images),
        quant_format=FORMATS[form],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def runtime(path: Path, images: Images) -> Images:
    """What ONNX Runtime computes, operator by operator as the file says."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images})[0])


def compare(path: Path, images: Images, labels: NDArray[np.int64], rtl: int) -> dict[str, Any]:
    """Count what differs between ONNX Runtime, the integer network and RTL."""
    imported = import_onnx(path)
    network, name = imported.network, imported.network.outputs[0]
    integers = imported.quantize_input(images)
    ours = forward(network, integers)[name]
    real = imported.real({name: ours})[name]
    theirs = runtime(path, images)
    units = np.abs(np.rint((real - theirs) / imported.scales[name])).astype(int)
    differ = np.flatnonzero(real.argmax(1) != theirs.argmax(1))
    ranked = np.sort(theirs[differ], axis=1)
    margins = np.rint((ranked[:, -1] - ranked[:, -2]) / imported.scales[name]).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_network(network, multipliers=MULTIPLIERS)
        model = compile_native(
            write_design(plan, Path(folder) / "rtl"), Path(folder) / "simulators"
        )
        result = model.run(integers[:rtl], jobs=2)
    assert np.array_equal(result.output.reshape(rtl, -1), ours[:rtl]), "RTL differs"
    return {
        "images": len(images),
        "same_class": int(len(images) - len(differ)),
        "margins_of_others": margins.tolist(),
        "logits_equal": float((units == 0).mean()),
        "logits_most_units_off": int(units.max()),
        "units_bound_per_layer": max(imported.units.values()),
        "accuracy_runtime": float((theirs.argmax(1) == labels).mean()),
        "accuracy_ours": float((real.argmax(1) == labels).mean()),
        "rtl_images_equal": rtl,
        "multipliers": plan.multipliers,
        "cycles_per_frame": plan.cycles_per_frame,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rtl", type=int, default=100, help="images that RTL computes")
    arguments = parser.parse_args()
    data = load_cifar10(arguments.data)
    train = data.train_images[:CALIBRATION_IMAGES].numpy()
    images = data.test_images[: arguments.images].numpy()
    labels = data.test_labels[: arguments.images].numpy()
    found = {}
    for form in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            path = quantized(arguments.weights, train, form, Path(folder))
            found[form] = compare(path, images, labels, arguments.rtl)
        print(form, found[form], flush=True)
    command = f"{COMMAND} --images {arguments.images} --rtl {arguments.rtl}"
    write_result(RESULTS / "runtime.json", command, {"resnet8": found})


if __name__ == "__main__":
    main()
