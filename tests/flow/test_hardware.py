"""Limits and targets in experiment files and on the command line."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.config import ConfigError, HardwareSection, load_experiment
from systolith.devices import DEVICES, Budget
from systolith.network import save
from systolith.plan import plan_network
from tests.support.networks import residual_network, small_network

LEAST = 'name = "tiny"\n[model]\nfactory = "digits-cnn"\n[data]\nfactory = "digits"\n[hardware]\n'


def _hardware(tmp_path: Path, text: str) -> HardwareSection:
    path = tmp_path / "experiment.toml"
    path.write_text(LEAST + text)
    return load_experiment(path).hardware


def _problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        _hardware(tmp_path, text)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "budget", "cycles"),
    [
        ("", Budget(multipliers=64), None),
        ("multipliers = 12", Budget(multipliers=12), None),
        ("dsps = 9", Budget(dsps=9), None),
        ("block_rams = 0\nluts = 5000", Budget(luts=5000, block_rams=0), None),
        ('device = "ecp5-25f"', DEVICES["ecp5-25f"].budget, None),
        (
            'device = "ecp5-12f"\nluts = 12000\nmultipliers = 5',
            Budget(multipliers=5, dsps=28, luts=12000, block_rams=32, flip_flops=9715),
            None,
        ),
        ("target_fps = 30.0\nclock_mhz = 50.0", Budget(), 1666666),
        ("target_fps = 30\nclock_mhz = 50\ndsps = 9", Budget(dsps=9), 1666666),
        ("clock_mhz = 50.0", Budget(multipliers=64), None),
    ],
)
def test_keys_are_limits_and_a_target(
    text: str, budget: Budget, cycles: int | None, tmp_path: Path
) -> None:
    hardware = _hardware(tmp_path, text)
    assert hardware.budget == budget
    assert hardware.cycles == cycles


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("target_fps = 30.0", "target_fps = 30 needs clock_mhz"),
        (
            "target_fps = 3e6\nclock_mhz = 2.0",
            "target_fps = 3e+06 is more than a frame in each cycle at clock_mhz = 2",
        ),
        (
            'device = "ecp5"',
            "no such device 'ecp5'; there are ecp5-12f, ecp5-25f, ecp5-45f, ecp5-85f",
        ),
        (
            'device = "ice40-up5k"\ndsps = 29\nblock_rams = 33\ntarget_fps = 1.0',
            (
                "dsps = 29 is more than device ice40-up5k has, 8; "
                "block_rams = 33 is more than device ice40-up5k has, 30; "
                "target_fps = 1 needs clock_mhz"
            ),
        ),
    ],
)
def test_contradictions_are_named(text: str, problem: str, tmp_path: Path) -> None:
    (said,) = _problems(tmp_path, text)
    assert said.startswith(f"hardware: {problem}")


def test_values_out_of_range_are_named(tmp_path: Path) -> None:
    problems = _problems(tmp_path, 'dsps = -1\nclock_mhz = 0.0\nluts = "many"')
    assert len(problems) == 3
    for key in ("dsps", "clock_mhz", "luts"):
        assert any(problem.startswith(f"hardware.{key}: must be") for problem in problems)


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def _estimate(tmp_path: Path, *options: object) -> dict[str, Any]:
    path = tmp_path / "network.json"
    save(residual_network(), path)
    code, shown, _ = _run("estimate", path, "-o", tmp_path / "out", "--json", *options)
    assert code == 0
    report: dict[str, Any] = json.loads(shown)
    return report


def test_the_report_has_what_each_engine_takes_and_the_budget(tmp_path: Path) -> None:
    report = _estimate(tmp_path, "--device", "ecp5-12f", "--clock-mhz", 25)
    plan = plan_network(residual_network(), budget=DEVICES["ecp5-12f"].budget)
    found = report["performance"]
    assert found["budget"] == plan.budget.limits
    assert found["frames_per_second"] == 25e6 / plan.cycles_per_frame
    assert [row["name"] for row in report["engines"]] == [stage.name for stage in plan.stages]
    for kind in ("multipliers", "dsps", "luts", "block_rams"):
        assert found["resources"][kind] == sum(row[kind] for row in report["engines"])
        assert found["resources"][kind] <= found["budget"].get(kind, 10**9)
    for row, engine in zip(
        [row for row in report["engines"] if row["array"]], plan.convolutions, strict=True
    ):
        assert row["multiplier_kind"] == engine.multiplier_kind.value
        assert row["packed"] == engine.array.packed
        assert row["weight_memory"] == engine.weight_memory.kind.value
        assert row["window_memory"] == engine.window_memory.value
        assert row["idle"] == 1 - engine.cycles / plan.cycles_per_frame
        assert row["bottleneck"] == (engine.cycles == plan.cycles_per_frame)


def test_a_target_gives_the_smallest_design_that_has_it(tmp_path: Path) -> None:
    least, most = 1000.0, 20000.0
    small, large = (
        _estimate(tmp_path, "--clock-mhz", 10, "--target-fps", fps)["performance"]
        for fps in (least, most)
    )
    assert small["frames_per_second"] >= least and large["frames_per_second"] >= most
    assert small["resources"]["multipliers"] < large["resources"]["multipliers"]


def test_a_target_without_a_clock_is_reached_by_the_estimated_clock(tmp_path: Path) -> None:
    device = ("--device", "ecp5-12f")
    most = _estimate(tmp_path, *device)["performance"]
    target = round(most["fmax_mhz_estimated"] * 1e6 / most["cycles_per_frame"] / 4)
    found = _estimate(tmp_path, *device, "--target-fps", target)["performance"]
    assert found["fmax_mhz_estimated"] * 1e6 / found["cycles_per_frame"] >= target
    assert found["resources"]["multipliers"] < most["resources"]["multipliers"]
    # With the clock of that design as a given one, the same design is found.
    clock = ("--clock-mhz", target * found["cycles_per_frame"] / 1e6 + 1e-6)
    given = _estimate(tmp_path, *device, "--target-fps", target, *clock)["performance"]
    assert given["cycles_per_frame"] == found["cycles_per_frame"]


def test_a_network_can_be_too_large_for_a_device(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    save(small_network(), path)
    code, _, said = _run("estimate", path, "--clock-mhz", 1, "--target-fps", 60000)
    assert code == 2
    assert "cycles per frame, however large they are, but the target is 16" in said.replace(
        "\n", " "
    )
    code, _, said = _run("estimate", path, "--device", "ecp5")
    assert code == 2
    assert "no such device 'ecp5'; there are ecp5-12f" in said.replace("\n", " ")


def test_the_table_fits_a_terminal_of_100_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "network.json"
    save(residual_network(), path)
    monkeypatch.setattr(import_module("systolith.cli.app").out, "width", 100)
    code, shown, _ = _run("estimate", path, "-o", tmp_path / "out", "--device", "ecp5-12f")
    assert code == 0
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 100
    (head,) = [line for line in lines if "stage  " in line and "idle" in line]
    assert re.search(r"array +kind +ed +in +in +pliers +DSPs +LUTs +RAMs +per frame +idle", head)
    assert any(re.search(r"body .* \* 0% ", line) for line in lines)
    assert any(re.search(r"budget +- +28 +9,715 +32 ", line) for line in lines)
