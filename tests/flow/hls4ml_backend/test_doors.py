"""Models of PyTorch, Keras and QONNX: the same numbers as hls4ml's C simulation."""

import copy
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from systolith.network import IntArray, IntegerNetwork, load, trace
from tests.flow.hls4ml_backend.comparing import QUANTIZED, SMALL, convert, images, pytorch_config
from tests.flow.hls4ml_backend.keras_models import keras_config, many_layers
from tests.flow.hls4ml_backend.onnx_models import conv_and_dense


def predictions(
    door: Any, model: Any, config: dict[str, Any], x: NDArray[Any], folder: Path
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    found = []
    for backend in ("Systolith", "Vitis"):
        given = SMALL if backend == "Systolith" else {}
        converted = door(
            model,
            hls_config=copy.deepcopy(config),
            backend=backend,
            io_type="io_stream",
            output_dir=str(folder / backend),
            **given,
        )
        converted.compile()
        result = converted.predict(x)
        found.append(result if isinstance(result, list) else [result])
    return found[0], found[1]


def test_keras(tmp_path: Path) -> None:
    model = many_layers()
    x = images((9, 6, 2), 4, 1, scale=3.0)
    door = hls4ml.converters.convert_from_keras_model
    rtl, csim = predictions(door, model, keras_config(model), x, tmp_path)
    assert [len(outputs[0]) for outputs in rtl] == [3, 4, 4]
    assert all(np.array_equal(got, wanted) for got, wanted in zip(rtl, csim, strict=True))


def test_qonnx(tmp_path: Path) -> None:
    model = conv_and_dense(0)
    config = hls4ml.utils.config_from_onnx_model(model, granularity="name", backend="Vitis")
    x = images((6, 5, 2), 4, 2, scale=2.0)
    door = hls4ml.converters.convert_from_onnx_model
    rtl, csim = predictions(door, model, config, x, tmp_path)
    assert np.array_equal(rtl[0], csim[0])


def test_pytorch_writes_traces_and_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 2)
    )
    config = pytorch_config(model, (2, 4, 4))
    for section in config["LayerName"].values():
        section["Trace"] = True
        for key in section["Precision"]:
            section["Precision"][key] = "auto" if key == "accum" else QUANTIZED
    x = images((4, 4, 2), 3, 3, scale=2.0)
    ours = convert(model, config, tmp_path, **SMALL)
    theirs = convert(model, config, tmp_path, "Vitis")
    (output, layers), (csim_output, csim_layers) = ours.trace(x), theirs.trace(x)
    assert np.array_equal(output, csim_output)
    assert set(csim_layers) <= set(layers)
    assert all(np.array_equal(layers[name], wanted) for name, wanted in csim_layers.items())
    assert np.array_equal(ours.predict(x[:1]), csim_output[0])
    assert ours.predict(x.astype(np.float64)).dtype == np.float64
    written = {path.name for path in (tmp_path / "Systolith").iterdir()}
    assert {"network.json", "network.safetensors", "tensors.json", "rtl"} <= written
    assert load(tmp_path / "Systolith" / "network.json").name == "myproject"

    def wrong(network: IntegerNetwork, images: IntArray) -> dict[str, IntArray]:
        return {name: values + 1 for name, values in trace(network, images).items()}

    monkeypatch.setattr("systolith.hls4ml_backend.graph.trace", wrong)
    with pytest.raises(RuntimeError, match="differs from golden arithmetic"):
        ours.trace(x)
