"""What has no counterpart is refused by name, all of it at once, before any work."""

import copy
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from tests.flow.hls4ml_backend.comparing import (
    convert,
    images,
    problems,
    quantized,
)


def test_all_layers_are_named_at_once(tmp_path: Path) -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.softmax = nn.Conv2d(1, 2, 1), nn.Softmax(-1)
            self.flatten, self.dense, self.last = nn.Flatten(), nn.Linear(8, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.dense(self.flatten(self.softmax(self.conv(x)))))

    config = quantized(Inner(), (1, 2, 2))
    config["LayerName"]["dense"]["Precision"]["accum"] = "ap_fixed<20,12>"
    config["LayerName"]["last"]["Precision"]["result"] = "ap_fixed<9,3,AP_RND_ZERO,AP_SAT>"
    found = problems(Inner(), config, tmp_path)
    assert [problem.partition(":")[0] for problem in found] == [
        "layer 'softmax'",
        "layer 'dense'",
        "layer 'last'",
    ]
    assert "Softmax is not supported inside; only the last layer may be one" in found[0]
    assert "drops bits of products" in found[1]


def test_a_softmax_at_the_end_is_left_to_the_host(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1))
    converted = convert(model, quantized(model, (4,)), tmp_path)
    assert len(converted.mapped.network.layers) == 1
    (note,) = converted.notes
    assert note.startswith("layer '_1': a softmax at the end is left to the host")


def test_a_softmax_is_dropped_if_it_is_said_so(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1))
    config = quantized(model, (4,))
    config["LayerName"]["_1"]["Skip"] = True
    assert len(convert(model, config, tmp_path).mapped.network.layers) == 1


def test_wide_results_are_refused_with_what_to_set(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    found = problems(model, quantized(model, (4,), result="auto"), tmp_path)
    assert "set Precision.result to at most 16 bits" in found[0]


def test_types_are_checked_also_behind_a_wrong_one(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    config = quantized(model, (4,), accum="ap_fixed<20,12>")
    config["LayerName"]["_1"]["Precision"]["result"] = "ap_fixed<9,4,AP_RND_MIN_INF>"
    config["LayerName"]["_0"]["Precision"]["accum"] = "auto"
    found = problems(model, config, tmp_path)
    assert [problem.partition(":")[0] for problem in found] == ["layer '_1'", "layer '_2'"]


@pytest.mark.parametrize(
    ("accum", "message"),
    [
        ("ap_fixed<20,12>", "drops bits of products, which have 12 fractional bits"),
        ("ap_fixed<16,4,AP_TRN,AP_SAT>", "saturates between additions"),
    ],
)
def test_accumulators_that_are_not_exact_are_refused(
    accum: str, message: str, tmp_path: Path
) -> None:
    model = nn.Sequential(nn.Linear(40, 3))
    nn.init.constant_(model[0].weight, 2.984375)
    found = problems(model, quantized(model, (40,), accum=accum), tmp_path)
    assert message in found[0] and "'auto' or at least ap_fixed<" in found[0]


def test_rounding_that_the_contract_lacks_is_refused_only_where_it_rounds(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    rare = "ap_fixed<9,3,AP_RND_ZERO,AP_SAT>"
    found = problems(model, quantized(model, (4,), result=rare), tmp_path)
    assert "AP_RND_ZERO is not supported; use AP_TRN or AP_RND" in found[0]
    wide = quantized(
        model, (4,), result="ap_fixed<16,6,AP_RND_ZERO>", weight="ap_int<3>", bias="ap_int<3>"
    )
    convert(model, wide, tmp_path)


def test_channels_may_come_first(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 2 * 1, 2))
    last = quantized(model, (2, 4, 3))
    first = copy.deepcopy(last)
    first["Model"]["ChannelsLastConversion"] = "full"
    x = images((4, 3, 2), 2, 0, scale=1.0)
    wanted = convert(model, last, tmp_path).quantize(x)
    converted = convert(model, first, tmp_path)
    assert np.array_equal(converted.quantize(x.transpose(0, 3, 1, 2)), wanted)
    assert converted.mapped.network.input.shape == (2, 4, 3)


def test_wrong_images_are_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    converted = convert(model, quantized(model, (4,)), tmp_path)
    with pytest.raises(RuntimeError, match=r"not compiled: call compile\(\) first"):
        converted.predict(np.zeros((1, 4), dtype=np.float32))
    with pytest.raises(ValueError, match=r"samples of shape \(4,\), got \(1, 5\)"):
        converted.quantize(np.zeros((1, 5), dtype=np.float32))
    with pytest.raises(ValueError, match="float32 or float64"):
        converted.quantize(np.zeros((1, 4), dtype=np.int64))
