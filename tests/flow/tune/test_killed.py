"""Searches as programs: workers and drivers are killed, other machines help."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from tests.flow.tune import inline

pytestmark = pytest.mark.slow

PATIENCE = 300.0
COMMAND = [sys.executable, "-c", "from systolith.cli import main; main()", "tune"]


def _experiment(folder: Path) -> Path:
    """The tiny study as files that any program can read."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(inline.__file__, folder / "tiny_parts.py")
    content: dict[str, Any] = {
        **inline.CONTENT,
        "model": {"factory": "tiny_parts:tiny_model"},
        "data": {"factory": "tiny_parts:tiny_data"},
    }
    path = folder / "tiny.toml"
    path.write_text(tomlkit.dumps(content))
    return path


def _start(experiment: Path, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*COMMAND, str(experiment), "--output", str(folder), "--json", *options],
        stdout=subprocess.PIPE,
        env=environment,
    )


def _measured(folder: Path) -> dict[str, float]:
    times = {}
    for path in folder.glob("evaluations/*/measurement.json"):
        times[path.parent.name] = path.stat().st_mtime
    return times


def _until(folder: Path, count: int, program: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while len(_measured(folder)) < count:
        assert program.poll() is None, "it ended too early"
        assert time.monotonic() < end
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _found(program: subprocess.Popen[bytes]) -> list[Any]:
    out, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0
    account = json.loads(out)
    return [
        account["evaluations"],
        account["states"],
        [(point["number"], point["values"], point["front"]) for point in account["points"]],
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return _found(_start(_experiment(folder), folder / "study", "--jobs", "2"))


def test_a_killed_worker_and_a_killed_driver_change_nothing(
    undisturbed: list[Any], tmp_path: Path
) -> None:
    experiment, folder = _experiment(tmp_path), tmp_path / "study"
    program = _start(experiment, folder, "--jobs", "2")
    _until(folder, 3, program)
    workers = _children(program.pid)
    assert workers
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    _until(folder, 7, program)
    before = _measured(folder)
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    assert _found(_start(experiment, folder, "--jobs", "2")) == undisturbed
    after = _measured(folder)
    assert {key: after[key] for key in before} == before, "what was measured was not done again"


def test_an_interrupt_saves_and_says_so(undisturbed: list[Any], tmp_path: Path) -> None:
    experiment, folder = _experiment(tmp_path), tmp_path / "study"
    program = _start(experiment, folder, "--jobs", "2")
    _until(folder, 4, program)
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=PATIENCE)
    assert program.returncode == 130
    assert _found(_start(experiment, folder)) == undisturbed


def test_a_dask_cluster_finds_the_same(undisturbed: list[Any], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    experiment, folder = _experiment(tmp_path), tmp_path / "study"
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        program = _start(experiment, folder, "--scheduler", cluster.scheduler_address)
        assert _found(program) == undisturbed
