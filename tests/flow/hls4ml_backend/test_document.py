"""The example of docs/hls4ml.md."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

DOCUMENT = Path(__file__).parents[3] / "docs/hls4ml.md"


def test_the_example_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, object] = {"FOLDER": str(tmp_path / "project")}
    exec(compile(block, str(DOCUMENT), "exec"), names)
    scores = names["scores"]
    assert isinstance(scores, np.ndarray) and scores.shape == (10, 3)
    printed = capsys.readouterr().out
    assert "cycles per frame" in printed
    assert "'model': 'equal to the PyTorch model on 4 random inputs" in printed
    assert "'csimulation': \"equal to hls4ml's C simulation (Vitis) on 8 random inputs" in printed


def test_every_key_is_explained() -> None:
    from systolith.hls4ml_backend.configuration import OPTIONS

    text = DOCUMENT.read_text()
    for option, key in OPTIONS.items():
        assert f"| `{option}` | `{key}` |" in text


def test_every_layer_of_hls4ml_is_supported_or_refused_with_a_rewrite() -> None:
    from hls4ml.model.layers import layer_map

    from systolith.hls4ml_backend.layers.refused import REFUSED
    from systolith.hls4ml_backend.mapping import SUPPORTED

    kinds = {kind.__name__ for kind in layer_map.values() if kind.__module__.startswith("hls4ml")}
    kinds = {re.sub("^(Vitis|Vivado|Systolith)", "", kind) for kind in kinds}
    # hls4ml's optimizations replace Conv and BatchNormOnnx, and add the others for its own C++.
    internal = {"Conv", "BatchNormOnnx", "BatchNormalizationQuantizedTanh", "Broadcast", "Clone"}
    assert not kinds - set(SUPPORTED) - set(REFUSED) - internal - {"Repack"}
    assert not set(SUPPORTED) & set(REFUSED)
