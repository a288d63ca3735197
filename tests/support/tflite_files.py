"""TFLite files of tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from systolith.fuzz.files.writing import TfliteFile
from systolith.network import forward
from systolith.tflite import ImportedTflite, import_tflite, run_kernels

__all__ = ["VALID", "Moves", "TfliteFile"]

VALID = 1


class Moves(TfliteFile):
    """A file whose tensors have one scale."""

    def __init__(self, *shapes: Sequence[int]) -> None:
        super().__init__()
        self.rng = np.random.default_rng(len(shapes))
        self.inputs = [self.like(f"input{k}", shape) for k, shape in enumerate(shapes)]

    def like(self, name: str, shape: Sequence[int]) -> int:
        return self.tensor(name, shape, 0.05, 7)

    def apply(
        self, kind: str, inputs: Sequence[int], shape: Sequence[int], options: str = "",
        **fields: float,
    ) -> int:  # fmt: skip
        result = self.like(f"model/{kind.lower()}{len(self.operators)}/{kind}", shape)
        self.operator(kind, inputs, [result], options, **fields)
        return result

    def numbers(self, *values: int) -> int:
        return self.constant(f"numbers{len(self.tensors)}", np.array(values, dtype=np.int32))

    def reshape(self, source: int, *shape: int) -> int:
        return self.apply("RESHAPE", [source, self.numbers(*shape)], shape)

    def transpose(self, source: int, *axes: int) -> int:
        shape = [self.tensors[source].shape[axis] for axis in axes]
        return self.apply("TRANSPOSE", [source, self.numbers(*axes)], shape)

    def dense(self, source: int, filters: int, *, keeps: bool = False) -> int:
        shape = self.tensors[source].shape
        features = shape[-1] if keeps else int(np.prod(shape))
        weight = self.rng.integers(-127, 128, (filters, features), dtype=np.int8)
        given = self.constant(f"weight{len(self.tensors)}", weight, scale=0.004)
        result = (*shape[:-1], filters) if keeps else (1, filters)
        return self.apply(
            "FULLY_CONNECTED", [source, given], result, "FullyConnectedOptions",
            KeepNumDims=int(keeps),
        )  # fmt: skip

    def convolve(self, source: int, filters: int, kernel: tuple[int, int], stride: int = 1) -> int:
        count, height, width, channels = self.tensors[source].shape
        values = self.rng.integers(-127, 128, (filters, *kernel, channels), dtype=np.int8)
        weight = self.constant(f"weight{len(self.tensors)}", values, scale=0.004)
        bias = self.constant(f"bias{len(self.tensors)}", np.zeros(filters, np.int32))
        size = (height - kernel[0]) // stride + 1, (width - kernel[1]) // stride + 1
        return self.apply(
            "CONV_2D", [source, weight, bias], (count, *size, filters), "Conv2DOptions",
            Padding=VALID, StrideH=stride, StrideW=stride, DilationHFactor=1, DilationWFactor=1,
        )  # fmt: skip

    def check(self, folder: Path, *outputs: int) -> ImportedTflite:
        """Compare every layer, then the outputs in the file's order."""
        self.outputs = list(outputs)
        path = self.write(folder / "m.tflite")
        imported = import_tflite(path)
        images = self.rng.integers(-128, 128, (3, *imported.input_shape), dtype=np.int8)
        found = imported.arrange_outputs(forward(imported.network, imported.arrange_input(images)))
        for values, wanted in zip(found.values(), run_kernels(path, images), strict=True):
            assert np.array_equal(values, wanted)
        return imported
