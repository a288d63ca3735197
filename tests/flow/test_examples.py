"""The examples, as a user runs them."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from systolith.cli import app

ROOT = Path(__file__).parent.parent.parent


PROVEN = ("train", "prune", "quantize", "lower", "estimate", "generate", "verify", "simulate")


def _run(experiment: Path, folder: Path) -> dict[str, Any]:
    arguments = ["run", str(experiment), "--output", str(folder), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.mark.slow
def test_digits_from_training_to_verified_rtl(tmp_path: Path) -> None:
    # Place and route take minutes: they have a test of their own.
    proven, _, _ = (ROOT / "examples/digits.toml").read_text().partition("[build]")
    experiment = tmp_path / "digits.toml"
    experiment.write_text(proven)
    report = _run(experiment, tmp_path)
    accuracy, checks = report["accuracy"], report["verification"]
    assert accuracy["test_images"] == checks["images"] == 599
    assert accuracy["float"] >= 0.975
    assert accuracy["integer"] >= 0.97
    assert accuracy["rtl"] == accuracy["integer"]
    assert checks["passed"]
    assert checks["mismatches"] == 0
    assert checks["cycles_predicted"] == checks["cycles_simulated"]
    sparsity = {row["name"]: row["kept"] / row["total"] for row in report["sparsity"]["layers"]}
    assert sparsity["conv1"] == 1
    assert sparsity["conv2"] == sparsity["conv3"] == 0.25
    assert report["performance"]["utilization"] > 0.95
    assert [stage["name"] for stage in report["stages"]] == list(PROVEN)


@pytest.mark.slow
def test_digits_ends_in_a_bitstream(tmp_path: Path) -> None:
    report = _run(ROOT / "examples/digits.toml", tmp_path)
    assert [stage["name"] for stage in report["stages"]] == [*PROVEN, "build"]
    assert report["build"]["timing_met"]
    assert (tmp_path / "build" / report["build"]["bitstream"]).stat().st_size > 100_000


@pytest.mark.slow
def test_python_example_builds_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(ROOT / "examples/python_api.py"))
    assert example["plan"].utilization > 0.9
    assert (tmp_path / "out/python_api/rtl/systolith_top.v").exists()
    assert "streams equal the reference" in capsys.readouterr().out


def test_every_example_of_the_pruning_tutorial_runs(capsys: pytest.CaptureFixture[str]) -> None:
    tutorial = (ROOT / "docs/pruning.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", tutorial, re.DOTALL)
    names: dict[str, object] = {"EPOCHS": 1}
    for block in blocks:
        exec(compile(block, "docs/pruning.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "25% kept" in shown
    assert "conv3: confidence" in shown and "conv2 32 removable" in shown


def test_readme_shows_the_python_example_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    _, _, example = (ROOT / "examples/python_api.py").read_text().partition('"""\n\n')
    assert block == example != ""
