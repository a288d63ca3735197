"""The cocotb bench fails loudly when the simulator or the design's description is wrong."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from systolith.bench import CompileError, SimulationError, StreamModel, compile_streams


@pytest.fixture(scope="module")
def model(chain: Any, workdir: Path) -> StreamModel:
    return compile_streams(chain.design, workdir)


def test_second_build_does_no_work(chain: Any, model: StreamModel, workdir: Path) -> None:
    assert compile_streams(chain.design, workdir).compile_seconds == 0
    assert model.executable.exists()


def test_probe_that_is_not_there_is_told(chain: Any, workdir: Path) -> None:
    probe = replace(chain.design.probes[0], signal="nowhere")
    design = replace(chain.design, probes=(probe,))
    message = r"^Verilator cannot compile 'chain' for cocotb:\n(.|\n)*nowhere__payload"
    with pytest.raises(CompileError, match=message):
        compile_streams(design, workdir)


def test_simulator_that_ends_without_results_is_an_error(
    chain: Any, model: StreamModel, tmp_path: Path
) -> None:
    executable = tmp_path / model.executable.name
    executable.write_text("#!/bin/sh\necho all is well\n")
    executable.chmod(0o755)
    message = r"^the cocotb bench of 'chain' failed:\nall is well$"
    with pytest.raises(SimulationError, match=message):
        replace(model, executable=executable).run(chain.images)


@pytest.mark.parametrize("under_pytest", [True, False])
def test_failure_inside_the_simulator_is_an_error(
    model: StreamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, under_pytest: bool
) -> None:
    if not under_pytest:  # cocotb's runner hides failures from scripts
        monkeypatch.delenv("PYTEST_CURRENT_TEST")
    message = r"^the cocotb bench of 'chain' failed:\n(.|\n)*FileNotFoundError: .*job\.json"
    with pytest.raises(SimulationError, match=message):
        model._simulate(tmp_path)


def test_images_that_do_not_fit_are_refused(chain: Any, model: StreamModel) -> None:
    with pytest.raises(ValueError, match=r"^images must be integers, got float64$"):
        model.run(chain.images / 2)


def test_the_bench_in_the_simulator_loads_none_of_the_rest() -> None:
    loaded = "import sys, systolith.watch.stream_bench; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    names = {name.split(".")[1] for name in done.stdout.split() if name.startswith("systolith.")}
    assert names == {"watch"}
    assert not {"amaranth", "numba", "torch"} & set(done.stdout.split())
