"""Keys of the configuration: what they do, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from systolith.hls4ml_backend import ConversionError, read_report
from tests.flow.hls4ml_backend.comparing import convert, problems, quantized


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4, 3))


def test_wrong_keys_and_values_are_listed_together(tmp_path: Path) -> None:
    model = small()
    config = quantized(model, (4, 4, 4))
    config["Model"]["Strategie"] = "Latency"
    config["Model"]["ReuseFactor"] = 0
    config["LayerName"]["_0"] |= {"Pattern": "2 of 4", "Rows": 3, "Speed": 1}
    config["LayerName"]["conv"] = {}
    found = problems(model, config, tmp_path, part="xcvu13p", clock_period=-1, namespace="a")
    wanted = (
        "Part must be one of",
        "ClockPeriod must be nanoseconds, more than 0, got -1",
        "there is no option 'namespace'",
        "Model: ReuseFactor must be an integer of at least 1, got 0",
        "Model: there is no key 'Strategie'",
        "layer '_0': Pattern must be 'dense', 'K-of-N'",
        "layer '_0': there is no key 'Speed'",
        "layer '_0': Rows and Columns are given together, or neither",
        "LayerName: there is no layer 'conv'",
    )
    assert len(found) == len(wanted)
    for text in wanted:
        assert any(text in problem for problem in found), text


def test_reuse_factor_is_cycles_per_output_position(tmp_path: Path) -> None:
    model = small()
    config = quantized(model, (4, 4, 4))
    config["LayerName"]["_0"]["ReuseFactor"] = 18
    config["LayerName"]["_3"] |= {"Rows": 4, "Columns": 1}
    plan = convert(model, config, tmp_path).plan
    conv, dense = plan.convolutions
    assert conv.array.total == 4 * 9 * 6 // 18
    assert conv.cycles <= 18 * 4
    assert (dense.array.rows, dense.array.columns) == (4, 1)


def test_multipliers_are_a_budget(tmp_path: Path) -> None:
    model = small()
    converted = convert(model, quantized(model, (4, 4, 4)), tmp_path, multipliers=7)
    assert converted.plan.multipliers <= 7


def test_a_plan_may_fill_a_device(tmp_path: Path) -> None:
    model = small()
    converted = convert(model, quantized(model, (4, 4, 4)), tmp_path, device="ecp5-12f")
    assert converted.plan.budget.dsps is not None
    assert converted.configuration.part == "ecp5-12f"


def test_patterns_are_checked_against_weights(tmp_path: Path) -> None:
    model = small()
    config = quantized(model, (4, 4, 4))
    config["LayerName"]["_0"]["Pattern"] = "2-of-4"
    found = problems(model, config, tmp_path)
    assert "keeps 2 of every 4 input channels, but a group has" in found[0]
    with torch.no_grad():
        model[0].weight[:, 1:3] = 0
    layer = convert(model, config, tmp_path).mapped.network.layers[0]
    assert str(layer.pattern.select) == "2-out-of-4"
    assert layer.mask.sum() == layer.mask.size // 2


def test_there_is_no_report_before_a_build(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"call build\(\) first"):
        read_report(tmp_path)


def test_unknown_parts_and_options_are_refused_by_build(tmp_path: Path) -> None:
    model = small()
    converted = convert(model, quantized(model, (4, 4, 4)), tmp_path)
    with pytest.raises(ConversionError, match="there is no device 'ecp6'"):
        converted.build(device="ecp6")
    with pytest.raises(ConversionError, match="has no option 'csim'; there are device, speed"):
        converted.build(csim=False)


@pytest.mark.slow
def test_build_reports_what_was_placed(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 2))
    converted = convert(model, quantized(model, (4,)), tmp_path, multipliers=2, clock_period=20)
    report = converted.build(device="ecp5-12f")
    assert report == read_report(tmp_path / "Systolith")
    assert report["Implementation"]["timing_met"] is True
    assert report["Implementation"]["clock_mhz"] == 50
