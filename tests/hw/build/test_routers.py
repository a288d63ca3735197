"""Routers, time limits and interrupted builds, with stand-ins for the tools."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from systolith.build import Attempt, BuildResult, Router, build_bitstream
from systolith.build.runs import Deadline, Runs
from systolith.build.timing import PlacementReport
from systolith.devices import LARGE_CELLS, OutOfTimeError, ToolSource, find_part
from tests.support.stand_ins import write_native_tools

PART = find_part("ecp5-25f")
Build = Callable[..., BuildResult]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build with tools that reach the clocks that the first argument gives."""
    tools = tmp_path / "tools"
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")

    def run(
        clocks: dict[str, float], *, cells: int = 10, draft_luts: int = 90, **options: object
    ) -> BuildResult:
        write_native_tools(tools, clocks, cells=cells, draft_luts=draft_luts, hard=True)
        call = partial(build_bitstream, "module m; endmodule", "m", PART, tmp_path / "out")
        result: BuildResult = partial(call, tools=ToolSource.NATIVE, freq_mhz=100, **options)()
        return result

    return run


@pytest.mark.parametrize("luts", [90, 101])
def test_a_draft_without_room_is_left_out(build: Build, tmp_path: Path, luts: int) -> None:
    assert build({"1 router1": 120.0}, draft_luts=luts).median_mhz == 120
    assert (tmp_path / "out" / "seed1.router1.draft.log").exists()


def _calls(folder: Path) -> list[str]:
    return (folder / "out" / "calls").read_text().splitlines()


def test_both_routers_start_from_each_seed_and_the_faster_is_kept(
    build: Build, tmp_path: Path
) -> None:
    clocks = {"1 router1": 120.0, "1 router2": 90, "2 router1": 110, "2 router2": 130}
    built = build(clocks, seeds=2, router=Router.BOTH)
    assert _calls(tmp_path) == ["1 router1", "2 router1", "1 router2", "2 router2"]
    assert {f"{run.seed} {run.router}": each.fmax_mhz for run, each in built.routes.items()} == (
        clocks
    )
    assert built.best_attempt == Attempt(2, "router2") and built.best_seed == 2
    assert {seed: report.fmax_mhz for seed, report in built.reports.items()} == {1: 120, 2: 130}
    assert built.median_mhz == 125
    assert built.placement.name == "seed2.router2.placed.json"
    assert built.bitstream is not None and built.bitstream.read_text() == "bits"
    assert {program.version for program in built.programs.values()} == {"0.99", None}
    # another router later: what is there is kept
    assert build(clocks, seeds=2, router=Router.ROUTER1).best_attempt == Attempt(1, "router1")
    assert len(_calls(tmp_path)) == 4


@pytest.mark.parametrize(
    ("cells", "first"), [(LARGE_CELLS - 1, "router1"), (LARGE_CELLS, "router2")]
)
def test_large_designs_are_routed_by_router_2(
    build: Build, tmp_path: Path, cells: int, first: str
) -> None:
    build({"1 router1": 120, "1 router2": 120}, cells=cells)
    assert _calls(tmp_path) == [f"1 {first}"]


def test_router_2_follows_where_router_1_does_not_end(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("systolith.build.runs.PATIENCE_S", 4.0)
    built = build({"1 router2": 120, "2 router1": 110}, seeds=2)
    assert built.unfinished == (Attempt(1, "router1"),)
    assert built.best_attempt == Attempt(1, "router2")
    assert sorted(built.reports) == [1, 2]


def test_a_time_limit_keeps_what_is_finished(build: Build, tmp_path: Path) -> None:
    before = time.monotonic()
    built = build({"1 router1": 120}, seeds=3, jobs=2, limit_s=5)
    assert time.monotonic() - before < 30
    assert built.unfinished == (Attempt(2, "router1"), Attempt(3, "router1"))
    assert built.best_seed == 1 and built.bitstream is not None
    assert not list((tmp_path / "out").glob("seed[23].*.json")), "half-written"
    assert [path.name for path in (tmp_path / "out").glob("*.key")] != []
    calls = len(_calls(tmp_path))
    # a longer limit goes on from there
    built = build({"2 router1": 130, "3 router1": 90}, seeds=3, limit_s=60)
    assert built.best_seed == 2 and not built.unfinished and len(_calls(tmp_path)) == calls + 2


def test_a_time_limit_without_a_result_is_told(build: Build, tmp_path: Path) -> None:
    with pytest.raises(
        OutOfTimeError,
        match=r"^no seed was placed and routed in 0\.0167 minutes; without a result: "
        r"seed 1, router1; seed 2, router1\. The netlist is kept$",
    ):
        build({}, seeds=2, limit_s=1)
    assert (tmp_path / "out" / "m.json").exists()
    assert not (tmp_path / "out" / "m.bit").exists()


def test_an_interrupt_names_the_seeds_that_are_finished(build: Build, tmp_path: Path) -> None:
    def interrupt() -> None:
        while not len(list((tmp_path / "out").glob("*.key"))) == 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as caught:
        build({"1 router1": 120}, seeds=2)
    signal.signal(signal.SIGINT, before)
    assert caught.value.__notes__ == ["finished: seed 1, router1 (120.0 MHz)"]


def test_a_seed_that_ends_while_others_are_stopped_is_finished() -> None:
    report = PlacementReport(fmax_mhz=120.0, target_mhz=100.0, used={}, available={}, path=None)

    def place(attempt: Attempt, stop: Event, limit_s: float | None) -> PlacementReport:
        if attempt.seed == 2:
            raise KeyboardInterrupt
        assert stop.wait(60)
        return report

    attempts = [Attempt(1, "router1"), Attempt(2, "router1")]
    runs = Runs(place, deque(attempts), {}, Deadline())
    with pytest.raises(KeyboardInterrupt) as caught:
        runs.run(jobs=2)
    assert caught.value.__notes__ == ["finished: seed 1, router1 (120.0 MHz)"]
    assert runs.reports == {attempts[0]: report}


def test_a_router_that_a_family_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^lifcl-17: router 'both' does not .*; router1 does$"):
        build_bitstream("", "m", find_part("lifcl-17"), tmp_path, freq_mhz=1, router=Router.BOTH)
