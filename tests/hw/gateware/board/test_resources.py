"""Estimated resources of a server against synthesis: equal or slightly more."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmarks.physical.board as measured
from systolith.devices import DEVICES, Resources
from systolith.gateware.board import server_resources
from systolith.network import ActType, Flatten, IntegerNetwork, Linear, Requantize, Tensor

RESULTS: list[dict[str, Any]] = json.loads((measured.RESULTS / "board.json").read_text())["servers"]


def _resources(case: dict[str, Any]) -> Resources:
    height, width, channels = case["image"]
    features = height * width * channels
    layer = Linear(
        name="fc",
        input="flat",
        weight=np.ones((case["outputs"], features), dtype=np.int64),
        bias=np.zeros(case["outputs"], dtype=np.int64),
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([16])),
        output=ActType(bits=case["bits"], signed=True),
    )
    network = IntegerNetwork(
        input=Tensor((channels, height, width), ActType(bits=8, signed=False)),
        layers=(Flatten(name="flat", input="input"), layer),
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
