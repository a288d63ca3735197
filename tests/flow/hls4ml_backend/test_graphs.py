"""Networks with branches, joins, tables and slopes: equal to hls4ml, and in RTL under stalls."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from systolith.bench import PATTERNS
from systolith.emit import write_design
from systolith.hls4ml_backend.checks import check_csimulation
from systolith.network import (
    AvgPool2d,
    Concat,
    Conv2d,
    Multiply,
    Pad2d,
    Requantize,
    Table,
    Upsample,
    requantize,
    trace,
)
from systolith.plan import compute_timeline, plan_network
from systolith.verify import verify
from tests.flow.hls4ml_backend.campaign import DOORS, judge_exactly
from tests.flow.hls4ml_backend.comparing import convert, problems, quantized
from tests.flow.hls4ml_backend.interpreter import interpret

STALLED = ("none", "random", "slow producer")
"""A slow producer shows which streams starve beside a full shortcut."""
EIGHT = "ap_fixed<8,3,AP_RND,AP_SAT>"


class Shaped(nn.Module):
    """A small U-Net: a skipped branch, nearest upsampling, joining, padding, a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.slope = nn.Conv2d(1, 2, 3, padding=1), nn.LeakyReLU(0.1)
        self.pool, self.inner = nn.MaxPool2d(2), nn.Conv2d(2, 3, 3, padding=2, dilation=2)
        self.up, self.pad = nn.Upsample(scale_factor=2), nn.ConstantPad2d((1, 0, 0, 2), 0)
        self.sigmoid, self.last = nn.Sigmoid(), nn.Conv2d(5, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.first(x))
        y = self.up(self.inner(self.pool(x)))
        return self.last(self.sigmoid(self.pad(torch.cat((x, y), dim=1))))


class Gated(nn.Module):
    """Squeeze-and-excitation, a PReLU with a slope for each channel, a difference."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.slopes = nn.Conv2d(2, 3, 1), nn.PReLU(3)
        self.pool, self.gate, self.tanh = nn.AvgPool2d(4), nn.Conv2d(3, 3, 1), nn.Tanh()
        nn.init.uniform_(self.slopes.weight, -0.5, 0.9)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slopes(self.first(x))
        y = torch.mul(x, self.tanh(self.gate(self.pool(x))))
        return torch.sub(y, x)


def converted(model: nn.Module, shape: tuple[int, ...], folder: Path, **types: str) -> Any:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    given = {"result": EIGHT, "accum": "auto", "param": "auto", "table": "ap_fixed<18,8>"}
    config = quantized(model, shape, **{**given, **types})
    return convert(model, config, folder, multipliers=8)


def inputs(graph: Any, count: int) -> Any:
    kind = graph.mapped.input
    shape = (count, *graph.mapped.input_views[0].shape)
    codes = np.random.default_rng(0).integers(kind.low, kind.high + 1, shape)
    return np.ldexp(codes.astype(float), -kind.fraction)


@pytest.mark.parametrize(
    ("model", "shape", "kinds"),
    [
        (Shaped, (1, 4, 4), {Conv2d, Table, Concat, Upsample, Pad2d}),
        (Gated, (2, 4, 4), {Conv2d, Table, Multiply, Upsample, AvgPool2d}),
    ],
)
def test_branches_are_equal_in_rtl_under_stalls(
    model: type[nn.Module], shape: tuple[int, ...], kinds: set[type], tmp_path: Path
) -> None:
    graph = converted(model(), shape, tmp_path)
    network = graph.mapped.network
    assert kinds <= {type(layer) for layer in network.layers}
    x = inputs(graph, 3)
    images = graph.quantize(x)
    (wanted,) = interpret(graph, x)
    assert np.array_equal(graph.as_floats(trace(network, images), np.float64), wanted)
    plan = plan_network(network)
    design = write_design(plan, tmp_path / "rtl")
    result = verify(
        design,
        images,
        trace(network, images),
        workdir=tmp_path,
        patterns=[pattern for pattern in PATTERNS if pattern.name in STALLED],
        quick=True,
    )
    assert result.passed, result.patterns
    timeline, unstalled = compute_timeline(plan.graph, len(images)), result.patterns[0]
    assert unstalled.first_input_cycle == timeline.first_input
    assert unstalled.last_output_cycle == timeline.last_output


def test_slopes_of_wide_sums_are_part_of_the_convolution(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.LeakyReLU(0.25))
    torch.manual_seed(0)
    config = quantized(model, (2, 3, 3), param="auto")
    config["LayerName"]["_0"]["Precision"]["result"] = "auto"
    (layer,) = convert(model, config, tmp_path).mapped.network.layers
    assert isinstance(layer, Conv2d) and layer.requantize.negative is not None
    assert layer.requantize.negative[0] * 4 == layer.requantize.multiplier[0]


@pytest.mark.parametrize("slopes", [(-3,), (1, 2, -1)])
def test_negative_slopes_keep_small_values(slopes: tuple[int, ...], tmp_path: Path) -> None:
    from systolith.hls4ml_backend.form import Form, Slope

    form = Slope(slopes, 2).append_to(Form(fraction=3, low=-8, high=7))
    assert form is not None and form.low <= 0 <= form.high
    x = np.broadcast_to(np.arange(-8, 8)[:, None], (16, len(slopes)))
    spec: Requantize = form.requantize(form.type)
    wanted = np.where(x < 0, x * np.array(slopes), x * 4)
    assert np.array_equal(requantize(x, spec, form.type), wanted)


def test_wide_inputs_are_counted_by_thresholds(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Sigmoid())
    graph = converted(model, (1, 3, 3), tmp_path, result="ap_fixed<12,5,AP_RND,AP_SAT>")
    _, sigmoid = graph.mapped.network.layers
    assert isinstance(sigmoid, AvgPool2d) and sigmoid.requantize.thresholds is not None
    x = inputs(graph, 8)
    (wanted,) = interpret(graph, x)
    got = graph.as_floats(trace(graph.mapped.network, graph.quantize(x)), np.float64)
    assert np.array_equal(got, wanted)


def test_functions_of_wide_inputs_are_refused_with_what_to_set(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ELU(), nn.Conv2d(2, 1, 1))
    config = quantized(model, (1, 3, 3), result="ap_fixed<12,3>", table="ap_fixed<18,8>")
    config["LayerName"]["_2"]["Precision"]["result"] = "auto"
    found = problems(model, config, tmp_path)
    assert "elu of ap_fixed<12,3,AP_TRN,AP_WRAP> is a table of 12 bits" in found[0]
    assert "set Precision.result of the layer before it to at most 8 bits" in found[0]
    assert found[1].startswith("layer '_2'")


LOTS = {"keras": 12, "pytorch": 16}


@pytest.mark.parametrize("door", DOORS)
def test_random_graphs_are_equal_or_refused(door: str, tmp_path: Path) -> None:
    results = [judge_exactly(door, seed, tmp_path / str(seed)) for seed in range(LOTS[door])]
    assert sum(result.startswith("right") for result in results) >= LOTS[door] // 2, results


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_many_random_graphs_are_equal_or_refused(door: str, tmp_path: Path) -> None:
    for seed in range(1000, 1200):
        judge_exactly(door, seed, tmp_path / str(seed))


@pytest.mark.slow
@pytest.mark.parametrize("model", [Shaped, Gated])
def test_what_the_cpp_cannot_compute_is_said(model: type[nn.Module], tmp_path: Path) -> None:
    graph = converted(model(), (1, 4, 4) if model is Shaped else (2, 4, 4), tmp_path)
    with pytest.warns(UserWarning, match="is dilated|one slope for several|repeats one"):
        check_csimulation(graph, tmp_path / "csimulation")
