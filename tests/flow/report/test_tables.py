"""The tables of reports state what was measured."""

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from systolith.frontend import lower
from systolith.network import Conv2d
from systolith.quant import prepare
from systolith.report import (
    CheckResult,
    Report,
    VerificationResult,
    dense_macs,
    report_view,
    sparsity_rows,
)
from systolith.stages.hardware.checks import summarize_bulk_simulation
from systolith.stages.hardware.verification import BulkResult
from tests.support.networks import small_network


def _shown(report: Report) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(report_view(report))
    return captured.get()


def _report(**checks: bool) -> Report:
    report = Report(name="r", seed=0)
    results = [
        CheckResult(name=name, hardware=name != "arithmetic", passed=passed, what="w")
        for name, passed in checks.items()
    ]
    report.verification = VerificationResult(checks=tuple(results))
    return report


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ({"arithmetic": True}, "arithmetic only, no RTL has run"),
        ({"arithmetic": True, "rtl": True}, "yes"),
        ({"arithmetic": False}, "NO"),
        ({"arithmetic": True, "rtl": False}, "NO"),
    ],
)
def test_verified_is_only_what_ran_as_rtl(checks: dict[str, bool], verdict: str) -> None:
    (line,) = [line for line in _shown(_report(**checks)).splitlines() if "verified" in line]
    assert verdict in line
    assert (" yes " in line) == (verdict == "yes")


def test_accuracy_counts_the_images_that_ran() -> None:
    report = Report(name="r", seed=0)
    report.add_accuracy({"integer": 0.5, "rtl": 1.0, "rtl_images": 1, "test_images": 500})
    shown = _shown(report)
    assert "50.00% of 500 test images" in shown
    assert "100.00% of the first 1 of 500 test images" in shown


def test_accuracy_of_given_images_needs_no_test_set() -> None:
    report = Report(name="r", seed=0)
    report.add_accuracy({"rtl": 0.5, "rtl_images": 6})
    assert "accuracy, RTL simulation" in _shown(report)
    assert "50.00% of 6 images" in _shown(report)


@pytest.mark.parametrize(
    ("known", "name", "what"),
    [
        (None, "random images", "all outputs of 2 random images"),
        (2, "every image", "all outputs of 2 images"),
        (500, "some images", "all outputs of the first 2 of 500 images"),
    ],
)
def test_a_simulation_says_which_images_ran(known: int | None, name: str, what: str) -> None:
    classes = np.array([0, 1])
    bulk = BulkResult(
        images=2, mismatches=0, first=None, cycles_predicted=9, cycles_simulated=9,
        classes=classes, seconds=1.0,
    )  # fmt: skip
    (check,) = summarize_bulk_simulation(bulk, classes, known)["checks"]
    assert (check["name"], check["what"]) == (name, what)


def test_removed_filters_count_in_the_totals() -> None:
    network = small_network()
    dense = {"conv1": (16, 1, 3, 3), "conv2": (8, 16, 3, 3), "fc": (5, 72)}
    rows = {row.name: row for row in sparsity_rows(network, dense)}
    assert (rows["conv1"].kept, rows["conv1"].total) == (72, 144)
    assert rows["conv1"].pattern == "dense; 8 of 16 filters"
    assert (rows["conv2"].kept, rows["conv2"].total) == (144, 1152)
    assert rows["conv2"].pattern == "2-out-of-8; 8 of 16 inputs"
    assert rows["fc"].pattern == "dense"
    pixels = {name: 36 for name in ("conv1", "conv2")}
    assert all(isinstance(network[name], Conv2d) for name in pixels)
    assert dense_macs(network, dense) == 144 * 36 + 1152 * 36 + 5 * 72


def test_weights_of_grouped_convolutions_count_as_the_model_has_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 4, 3, groups=2)).eval()
    network = lower(prepare(model, torch.rand(2, 8, 5, 5)))
    dense = {"layer_0": (4, 4, 3, 3)}
    (row,) = sparsity_rows(network, dense)
    assert (row.kept, row.total) == (144, 144)
    assert row.pattern == "4-out-of-8 kernels shared by 2"
    assert dense_macs(network, dense) == 144 * 9
