"""One model through hls4ml twice: C simulation of its Vitis backend, and RTL."""

import copy
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from systolith.hls4ml_backend import ConversionError

SMALL = {"multipliers": 8, "quick_simulation": True, "check_csimulation": False}
"""What compiles soon; tests compare with the C simulation themselves."""
QUANTIZED = "ap_fixed<9,3,AP_RND,AP_SAT>"
Shapes = tuple[int, ...] | list[tuple[int, ...]]
"""Shape of an image, channels first, or of each of several."""


def pytorch_config(model: nn.Module, shape: Shapes) -> dict[str, Any]:
    """What hls4ml makes of a PyTorch model whose images come with channels last."""
    config: dict[str, Any] = hls4ml.utils.config_from_pytorch_model(
        model,
        shape,
        granularity="name",
        backend="Vitis",
        channels_last_conversion="internal",
    )
    del config["PytorchModel"]
    return config


def convert(
    model: nn.Module, config: dict[str, Any], folder: Path, backend: str = "Systolith", **given: Any
) -> Any:
    """Convert a PyTorch model."""
    return hls4ml.converters.convert_from_pytorch_model(
        model,
        hls_config=copy.deepcopy(config),
        backend=backend,
        io_type="io_stream",
        output_dir=str(folder / backend),
        **given,
    )


def both(
    model: nn.Module, config: dict[str, Any], x: NDArray[Any], folder: Path
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What RTL and C simulation predict."""
    outputs = []
    for backend in ("Systolith", "Vitis"):
        given = SMALL if backend == "Systolith" else {}
        converted = convert(model, config, folder, backend, **given)
        converted.compile()
        outputs.append(converted.predict(x))
    return outputs[0], outputs[1]


def images(shape: tuple[int, ...], count: int, seed: int, scale: float) -> NDArray[np.float32]:
    """Random images, channels last."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, *shape)) * scale).astype(np.float32)


def quantized(model: nn.Module, shape: Shapes, **types: str) -> dict[str, Any]:
    config = pytorch_config(model, shape)
    for section in config["LayerName"].values():
        for key in section["Precision"]:
            section["Precision"][key] = types.get(key, "auto" if key == "accum" else QUANTIZED)
    return config


def problems(model: nn.Module, config: dict[str, Any], folder: Path, **given: Any) -> list[str]:
    with pytest.raises(ConversionError) as refused:
        convert(model, config, folder, **given)
    assert not (folder / "Systolith").exists()
    return list(refused.value.problems)
