"""Networks whose branches part and meet go all the way from the command line."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from systolith.cli import app
from systolith.emit import write_design
from systolith.network import (
    ActType,
    Add,
    IntegerNetwork,
    Requantize,
    Tensor,
    save,
    trace,
)
from systolith.plan import plan_network
from systolith.verify import verify
from tests.support.networks import residual_network


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


def test_a_stream_that_starves_behind_a_full_queue_breaks_no_rule(tmp_path: Path) -> None:
    """The first sum is always taken at once; when the last one stalls, it is no longer fed."""
    act = ActType(bits=4, signed=False)
    unit = Requantize(multiplier=np.array([1]), shift=np.array([1]))
    sums = tuple(
        Add(name=name, inputs=("input", other), multipliers=(1, 1), requantize=unit, output=act)
        for name, other in (("first", "input"), ("second", "first"), ("third", "second"))
    )
    network = IntegerNetwork(input=Tensor((1, 1, 1), act), layers=sums)
    design = write_design(plan_network(network), tmp_path / "rtl")
    images = np.arange(4).reshape(4, 1, 1, 1)
    result = verify(
        design, images, trace(network, images), workdir=tmp_path / "simulators", quick=True
    )
    result.raise_if_failed()
    assert result.patterns[-1].stalls == "ready withheld"
