"""The network is compared with hls4ml's own C simulation when it is compiled."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from systolith.hls4ml_backend import ConversionError, checks
from systolith.hls4ml_backend.checks import check_csimulation
from systolith.hls4ml_backend.tracing import compute_layer_outputs
from systolith.network import IntegerNetwork, trace
from tests.flow.hls4ml_backend.comparing import convert, quantized
from tests.flow.hls4ml_backend.random_doors import (
    Case,
    keras_case,
    onnx_case,
    pytorch_case,
    silence,
)

EQUAL = "equal to hls4ml's C simulation (Vitis) on 8 random inputs"


def converted(folder: Path, *layers: nn.Module, shape: tuple[int, ...] = (4,), **given: Any) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(*layers)
    config = quantized(model, shape)
    for section in config["LayerName"].values():
        section["ReuseFactor"] = 2
    return convert(model, config, folder, **given)


class Stub:
    """A C simulation that gives what is prepared."""

    def __init__(self, outputs: Any, layers: dict[str, Any]) -> None:
        self.outputs, self.layers = outputs, layers

    def predict(self, x: Any) -> Any:
        return self.outputs

    def trace(self, x: Any) -> Any:
        return self.outputs, self.layers


def test_the_first_layer_that_differs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = converted(tmp_path, nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    x = checks._draw_inputs(graph)
    tensors = trace(graph.mapped.network, graph.quantize(x))
    layers = compute_layer_outputs(graph.mapped, tensors, ["_0", "_1", "_2"], np.float32)
    outputs = graph.as_floats(tensors, np.float32)
    monkeypatch.setattr(checks, "_compile", lambda *_, **__: Stub(outputs, layers))
    assert check_csimulation(graph, tmp_path) == EQUAL
    layers["_1"][3, 1] += 1
    layers["_2"] += 1
    monkeypatch.setattr(checks, "_compile", lambda *_, **__: Stub(outputs + 1, layers))
    with pytest.raises(ConversionError, match=r"layer '_1': 1 of 24 values differ"):
        check_csimulation(graph, tmp_path)
    monkeypatch.setattr(checks, "_compile", lambda *_, **__: Stub(outputs + 1, {}))
    with pytest.raises(ConversionError, match="outputs differ .* no layer that it traces"):
        check_csimulation(graph, tmp_path)


@pytest.mark.slow
def test_equal_networks_and_the_first_layer_that_differs(tmp_path: Path) -> None:
    graph = converted(tmp_path, nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    assert check_csimulation(graph, tmp_path / "first") == EQUAL
    network: IntegerNetwork = graph.mapped.network
    first, second = network.layers
    # as if the mapping had put the weights of the second layer in another order
    wrong = replace(second, weight=second.weight[:, ::-1].copy())
    graph.mapped = replace(graph.mapped, network=replace(network, layers=(first, wrong)))
    with pytest.raises(ConversionError, match=r"layer '_2': \d+ of 16 values differ") as refused:
        check_csimulation(graph, tmp_path / "second")
    assert "none of the layers before it" in str(refused.value)
    assert "check_csimulation=False" in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("door", [pytorch_case, keras_case, onnx_case])
def test_random_models_of_all_doors_are_equal(door: Callable[[int], Case], tmp_path: Path) -> None:
    equal = 0
    for seed in range(20):
        try:
            with silence():
                graph = door(seed).convert(tmp_path / str(seed))
                checked = check_csimulation(graph, tmp_path / f"{seed}-csimulation")
        except ConversionError as error:
            assert "C simulation" not in str(error)
            continue
        except Exception:  # refused by hls4ml's converters
            continue
        assert checked == EQUAL or "padded or overlapping pool" in checked
        equal += checked == EQUAL
        if equal == 3:
            return
    assert equal


def test_what_the_cpp_computes_otherwise_is_said(tmp_path: Path) -> None:
    graph = converted(tmp_path, nn.Conv2d(1, 2, 2), nn.MaxPool2d(3, stride=1), shape=(1, 6, 6))
    with pytest.warns(UserWarning, match="layer '_1' is a padded or overlapping pool"):
        check_csimulation(graph, tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_a_simulation_that_does_not_compile_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(checks, "_compile", compiled)
    graph = converted(tmp_path, nn.Linear(4, 3))
    with pytest.warns(UserWarning, match="it does not compile: RuntimeError: no compiler"):
        check_csimulation(graph, tmp_path / "project")


@pytest.mark.parametrize("asked", [True, False])
def test_compiling_compares_unless_it_is_turned_off(
    asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = converted(tmp_path, nn.Linear(4, 3), **({} if asked else {"check_csimulation": False}))
    monkeypatch.setattr(
        "systolith.hls4ml_backend.graph.check_csimulation", lambda graph, folder: folder.name
    )
    monkeypatch.setattr(graph, "build_simulator", lambda: None)
    graph.compile()
    assert graph.checks.get("csimulation") == ("csimulation" if asked else None)
