"""Networks whose branches part and meet go all the way from the command line."""

import json
from pathlib import Path

from typer.testing import CliRunner

from systolith.cli import app
from systolith.network import save
from tests.flow.networks import residual_network


def test_a_residual_network_passes_every_stage(tmp_path: Path) -> None:
    save(residual_network(), tmp_path / "residual.json")
    options = ["--output", str(tmp_path / "out"), "--images", "2", "--multipliers", "20"]
    reports = {}
    for goal in ("verify", "simulate"):
        arguments = [goal, str(tmp_path / "residual.json"), *options, "--json"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        reports[goal] = json.loads(result.stdout)
    whole, alone = reports["verify"]["verification"]["checks"]
    assert whole["what"].startswith("6 streams under 8 stall patterns, 2 images, ")
    assert alone["what"].startswith("8 streams under 7 stall patterns, 2 images, ")
    assert alone["what"].endswith("; sum has two inputs: in the whole network only")
    stages = {row["name"] for row in reports["verify"]["engines"]}
    assert stages >= {"stem", "stem_fork", "body", "sum", "mean", "mean_fork", "fc"}
    checks = reports["simulate"]["verification"]
    assert checks["mismatches"] == 0 and checks["passed"]
    assert checks["cycles_predicted"] == checks["cycles_simulated"] > 0
    assert reports["simulate"]["accuracy"] == {}
