"""TFLite files with narrower multipliers: differences of outputs, and the DSPs that they save.

python -m benchmarks.tflite.narrow --files FOLDER --data cifar10.npz
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import write_result
from benchmarks.tflite.__main__ import MULTIPLIERS, images_of
from benchmarks.tflite.table import NARROW_RESULTS
from systolith.network import forward
from systolith.plan import plan_network
from systolith.tflite import import_tflite

COMMAND = "python -m benchmarks.tflite.narrow"
BITS = (31, 17, 16, 15)


def compare(path: Path, cifar: np.ndarray[Any, Any]) -> Iterator[dict[str, Any]]:
    """Compare the outputs of a file for each width with those of 31 bits."""
    exact = import_tflite(path)
    images = images_of(path.stem, exact, cifar)
    (wanted,) = forward(exact.network, exact.arrange_input(images)).values()
    for bits in BITS:
        narrow = import_tflite(path, check=False, multiplier_bits=bits)
        (found,) = forward(narrow.network, narrow.arrange_input(images)).values()
        plan = plan_network(narrow.network, multipliers=MULTIPLIERS.get(path.stem, 128))
        yield {
            "bits": bits,
            "bound_per_layer": max(narrow.units.values(), default=0),
            "outputs": wanted.size,
            "differing": int((found != wanted).sum()),
            "greatest_difference": int(np.abs(found - wanted).max()),
            "images": len(images),
            "other_classes": int((found.argmax(axis=1) != wanted.argmax(axis=1)).sum()),
            "multipliers": plan.multipliers,
            "dsps": plan.resources.dsps,
            "luts": plan.resources.luts,
        }


def main() -> None:
    """Compare all files of a folder and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, required=True, help="folder of the .tflite files")
    parser.add_argument("--data", type=Path, required=True, help="cifar10.npz")
    options = parser.parse_args()
    cifar = np.load(options.data)["test_x"][:200]
    rows = {
        path.stem: list(compare(path, cifar)) for path in sorted(options.files.glob("*.tflite"))
    }
    write_result(NARROW_RESULTS, COMMAND, {"files": rows})


if __name__ == "__main__":
    main()
