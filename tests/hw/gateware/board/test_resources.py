"""Estimated resources of a server against synthesis: equal or slightly more."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmarks.physical.board as measured
from systolith.devices import DEVICES, Resources
from systolith.gateware.board import server_resources
from systolith.network import (
    ActType,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Layer,
    Linear,
    Requantize,
    Tensor,
)

RESULTS: list[dict[str, Any]] = json.loads((measured.RESULTS / "board.json").read_text())["servers"]


def _resources(case: dict[str, Any]) -> Resources:
    height, width, channels = case["image"]
    features = height * width * channels
    layers: list[Layer] = [Flatten(name="flat", input="input")]
    outputs = []
    for number, (count, *pixels) in enumerate(case["outputs"]):
        fields: dict[str, Any] = {
            "name": f"output{number}",
            "bias": np.zeros(count, dtype=np.int64),
            "requantize": Requantize(multiplier=np.array([1]), shift=np.array([16])),
            "output": ActType(bits=case["bits"], signed=True),
        }
        outputs.append(fields["name"])
        if not pixels:
            weight = np.ones((count, features), dtype=np.int64)
            layers.append(Linear(input="flat", weight=weight, **fields))
            continue
        kernel = height - pixels[0] + 1, width - pixels[1] + 1
        weight = np.ones((count, channels, *kernel), dtype=np.int64)
        layers.append(Conv2d(input="input", weight=weight, **fields))
    if not any(isinstance(layer, Linear) for layer in layers):
        del layers[0]
    network = IntegerNetwork(
        input=Tensor((channels, height, width), ActType(bits=8, signed=False)),
        layers=tuple(layers),
        outputs=tuple(outputs),
    )
    return server_resources(network, DEVICES["ecp5-25f"].block)


@pytest.mark.parametrize("case", RESULTS)
def test_the_estimate_is_what_was_measured_or_a_tenth_more(case: dict[str, Any]) -> None:
    found = _resources(case)
    assert case["luts"] <= found.luts <= 1.1 * case["luts"]
    assert case["block_rams"] <= found.block_rams
    assert found.dsps == 0


def test_synthesis_makes_no_more_of_it(tmp_path: Path) -> None:
    case = RESULTS[0]
    found = measured.measure(case, tmp_path)
    assert found.block_rams == _resources(case).block_rams == 1
    assert found.luts <= _resources(case).luts
