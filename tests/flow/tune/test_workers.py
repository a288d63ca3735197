"""Work in other processes: those that die, hang, or fail."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from systolith.tune import FailedTask, Workers
from systolith.tune import workers as module


def _double(number: int) -> int:
    return 2 * number


def _fails_on_three(number: int) -> int:
    if number == 3:
        raise ZeroDivisionError("three")
    return number


def _dies_once(task: tuple[str, int]) -> int:
    folder, number = task
    mark = Path(folder) / str(number)
    with (Path(folder) / "log").open("a") as log:
        log.write(f"{number}\n")
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _dies(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def _hangs(number: int) -> int:
    if number == 0:
        time.sleep(600)
    return number


def _bug(number: int) -> int:
    raise KeyError("a bug, not a point's own failure")


def test_results_come_with_their_numbers_and_failures_do_not_stop_others() -> None:
    with Workers(2, seconds=60) as workers:
        assert dict(workers.run(_double, [5, 6, 7])) == {0: 10, 1: 12, 2: 14}
        results = dict(workers.run(_fails_on_three, [2, 3, 4]))
    assert results == {0: 2, 1: FailedTask(reason="ZeroDivisionError: three"), 2: 4}


def test_what_a_dead_worker_did_begins_again_and_a_bug_ends_all(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Workers(1, seconds=60) as workers:
        results = dict(workers.run(_dies_once, [(str(tmp_path), number) for number in range(3)]))
        list(workers.run(_bug, [0]))  # no failure of a point: it ends the search
    assert results == {0: 0, 1: 1, 2: 2}
    assert (tmp_path / "log").read_text().split() == ["0", "1", "1", "2"]


@pytest.mark.slow
def test_what_kills_every_worker_is_given_up() -> None:
    with Workers(1, seconds=60) as workers:
        assert dict(workers.run(_dies, [0])) == {0: FailedTask(reason="its worker died 3 times")}
        assert dict(workers.run(_double, [1])) == {0: 2}


@pytest.mark.slow
def test_a_worker_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with Workers(2, seconds=0.1) as workers:
        list(workers.run(_double, [1, 2]))  # so that processes are there
        monkeypatch.setattr(module, "LEAST_GRACE", 10.0)  # others begin anew, and import torch
        results = dict(workers.run(_hangs, [0, 1, 2, 3]))
    assert results[0] == FailedTask(reason="took more than 0.1 s, and hung")
    assert [results[number] for number in (1, 2, 3)] == [1, 2, 3]


DRIVER = """
import os, time
from systolith.tune.workers import Workers
from tests.flow.tune.test_workers import number_of_process
if __name__ == "__main__":
    with Workers(1, seconds=60.0) as workers:
        for _, results in workers.run(number_of_process, [0]):
            print(results, flush=True)
        time.sleep(60)
"""


def number_of_process(_: int) -> int:
    return os.getpid()


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])
    }
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        worker = Path(f"/proc/{int(driver.stdout.readline())}")
        assert worker.exists()
        driver.kill()
    end = time.monotonic() + 20
    while worker.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not worker.exists()
