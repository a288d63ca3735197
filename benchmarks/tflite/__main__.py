"""The int8 files of MLPerf Tiny, imported, against TFLite's reference kernels and XNNPACK.

python -m benchmarks.tflite --files FOLDER --data cifar10.npz
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from benchmarks.results import write_result
from benchmarks.tflite.table import RESULTS
from systolith.network import forward
from systolith.plan import plan_network
from systolith.tflite import ImportedTflite, import_tflite, run_kernels

COMMAND = "python -m benchmarks.tflite"
IMAGES, RTL_IMAGES = 200, 4
SEED = 0
CIFAR_FILES = ("pretrainedResnet_quant", "pretrainedResnet_large_int8")
MULTIPLIERS = {"ad01_int8": 40, "kws_ref_model": 128}
"""Budgets of the files that run in RTL."""


def images_of(name: str, imported: ImportedTflite, cifar: NDArray[Any]) -> NDArray[np.int8]:
    """Take the first images of CIFAR-10's test set, less 128; for other files, random integers."""
    if name in CIFAR_FILES:
        return (cifar[:IMAGES].astype(np.int64) - 128).astype(np.int8)
    shape = (IMAGES, *imported.input_shape)
    return np.random.default_rng(SEED).integers(-128, 128, shape, dtype=np.int8)


def compare(path: Path, cifar: NDArray[Any]) -> dict[str, Any]:
    """Compare all outputs of a file."""
    imported = import_tflite(path)
    assert imported.agreement is not None
    images = images_of(path.stem, imported, cifar)
    ours = imported.arrange_outputs(forward(imported.network, imported.arrange_input(images)))
    (found,) = ours.values()
    number = imported.output_tensors[imported.network.outputs[0]]
    (wanted,) = run_kernels(path, images, (number,))
    (ends,) = run_kernels(path, images)
    fast = np.concatenate(list(_run_default(path, images)))
    plan = plan_network(imported.network, multipliers=MULTIPLIERS.get(path.stem, 128))
    return {
        "layers": len(imported.network.layers),
        "images": len(images),
        "outputs": found.size,
        "differing": int((found != wanted).sum()),
        "layers_compared_on_images": imported.agreement.images,
        "values_of_layers": imported.agreement.values,
        "xnnpack_differs": float((fast != ends).mean()),
        "multipliers": plan.multipliers,
        "cycles_per_frame": plan.cycles_per_frame,
        "notes": list(imported.notes),
    }


def _run_default(path: Path, images: NDArray[np.int8]) -> Iterator[NDArray[np.int8]]:
    """Run a file as TFLite does by default, with XNNPACK."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    for image in images:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        yield interpreter.get_tensor(result).copy()


def main() -> None:
    """Compare all files of a folder and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, required=True, help="folder of the .tflite files")
    parser.add_argument("--data", type=Path, required=True, help="cifar10.npz")
    options = parser.parse_args()
    cifar = np.load(options.data)["test_x"][:IMAGES]
    rows = {}
    for path in sorted(options.files.glob("*.tflite")):
        rows[path.stem] = compare(path, cifar)
        print(path.stem, rows[path.stem], flush=True)
    write_result(RESULTS, COMMAND, {"seed": SEED, "files": rows})


if __name__ == "__main__":
    main()
