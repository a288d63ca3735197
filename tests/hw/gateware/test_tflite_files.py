"""A TFLite file with the operators that become several layers, in the simulator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from systolith.gateware import Pipeline
from systolith.network import Add, AvgPool2d, Conv2d, DepthToSpace, SelectChannels, forward
from systolith.plan import plan_network
from systolith.tflite import import_tflite
from tests.support.pipeline_bench import run_frames
from tests.support.random_networks import random_images
from tests.support.slow import first_few
from tests.support.tflite_files import TfliteFile

FRAMES = 2
ONE_SCALE = (0.05, -3)


class _Design(TfliteFile):
    """Two inputs; constants of channels; pairs; a transposed convolution; a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)
        image = (1, 2, 3, 4)
        self.inputs = [self.tensor(f"input{k}", image, *ONE_SCALE) for k in range(2)]
        added = self.apply("ADD", [0, self.channels(0.03)], image, "AddOptions")
        scaled = self.apply("MUL", [added, self.channels(0.03)], image, "MulOptions")
        sloped = self.apply("PRELU", [scaled, self.channels(0.04)], image)
        apart = self.apply("SUB", [sloped, 1], image, "SubOptions")
        least = self.apply("MINIMUM", [apart, sloped], image)
        kernel = self.rng.integers(-127, 128, (3, 2, 3, 4), dtype=np.int8)
        shape = self.constant("shape", np.array([1, 4, 6, 3], np.int32))
        weight = self.constant("weight", kernel, scale=[0.003, 0.001, 0.002])
        larger = self.apply(
            "TRANSPOSE_CONV", [shape, weight, least], (1, 4, 6, 3), "TransposeConvOptions",
            StrideH=2, StrideW=2,
        )  # fmt: skip
        axes = self.constant("axes", np.array([1, 2], np.int32))
        mean = self.apply("MEAN", [larger, axes], (1, 3), "ReducerOptions")
        numbers = self.rng.integers(-128, 128, 3, dtype=np.int8)
        last = self.constant("last", numbers, scale=0.06, zero=5)
        self.outputs = [self.apply("SUB", [last, mean], (1, 3), "SubOptions")]

    def channels(self, scale: float) -> int:
        values = self.rng.integers(-128, 128, 4, dtype=np.int8)
        return self.constant(f"constant{len(self.tensors)}", values, scale=scale, zero=-9)

    def apply(
        self, kind: str, inputs: Sequence[int], shape: Sequence[int], options: str = "",
        **fields: float,
    ) -> int:  # fmt: skip
        name = f"model/{kind.lower()}{len(self.operators)}/{kind}"
        result = self.tensor(name, shape, *ONE_SCALE)
        self.operator(kind, inputs, [result], options, **fields)
        return result


@pytest.mark.parametrize("stalled", first_few([False, True], 1))
def test_values_and_cycles(stalled: bool, tmp_path: Path) -> None:
    network = import_tflite(_Design().write(tmp_path / "m.tflite")).network
    kinds = {type(layer) for layer in network.layers}
    assert kinds >= {Add, AvgPool2d, Conv2d, DepthToSpace, SelectChannels}
    plan = plan_network(network, multipliers=20)
    images = random_images(network, FRAMES, 0)
    by = 0.3 if stalled else 0
    run = run_frames(Pipeline(plan), images, gap=by, stall=by, seed=1)
    for name, expected in forward(network, images).items():
        assert np.array_equal(run.outputs[name], expected)
    if not stalled:
        assert run.cycles == plan.cycles(FRAMES)
