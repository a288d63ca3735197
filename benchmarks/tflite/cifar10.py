"""A TFLite file on all 10,000 test images of CIFAR-10, against TFLite's reference kernels.

python -m benchmarks.tflite.cifar10 --file pretrainedResnet_quant.tflite --data cifar10.npz
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import write_result
from benchmarks.tflite.table import CIFAR_RESULTS
from systolith.network import forward
from systolith.tflite import import_tflite, run_kernels

COMMAND = "python -m benchmarks.tflite.cifar10"
BATCH = 250


def compare(path: Path, data: Path) -> dict[str, Any]:
    """Compare all outputs of all images, and count right classes."""
    archive = np.load(data)
    images = (archive["test_x"].astype(np.int64) - 128).astype(np.int8)
    labels = archive["test_y"]
    imported = import_tflite(path)
    number = imported.output_tensors[imported.network.outputs[0]]
    differing = right = outputs = 0
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        (values,) = imported.arrange_outputs(
            forward(imported.network, imported.arrange_input(batch))
        ).values()
        (wanted,) = run_kernels(path, batch, (number,))
        differing += int((values != wanted).sum())
        outputs += values.size
        right += int((values.argmax(axis=1) == labels[start : start + BATCH]).sum())
    return {
        "images": len(images),
        "outputs": outputs,
        "differing": differing,
        "right": right,
        "inexact_images": int(archive["test_inexact"].size),
    }


def main() -> None:
    """Compare one file and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="the .tflite file")
    parser.add_argument("--data", type=Path, required=True, help="cifar10.npz")
    options = parser.parse_args()
    row = compare(options.file, options.data)
    write_result(CIFAR_RESULTS, COMMAND, {"file": options.file.stem, **row})


if __name__ == "__main__":
    main()
