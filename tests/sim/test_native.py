"""The native driver: equality, exact cycle counts, every error path, simulators that are reused."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.bench import (
    BURSTS,
    NONE,
    PATTERNS,
    CompileError,
    NativeModel,
    Pause,
    SimulationError,
    SimulationProgress,
    Stalls,
    compile_native,
    compile_streams,
)
from systolith.bench.compile import check_folder
from systolith.foundation import Progress
from systolith.verify import compare

SECOND = 0xF0
WRONG, DROP, CHANGE, WAIT, MISSING, EXTRA, HANG = range(1, 8)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no other process uses, because tests look for remaining files."""
    return tmp_path_factory.mktemp("simulators")


@pytest.fixture(scope="module")
def model(chain: Any, workdir: Path) -> NativeModel:
    return compile_native(chain.design, workdir, quick=True)


@pytest.fixture(scope="module")
def faulty_model(faulty: Any, workdir: Path) -> NativeModel:
    return compile_native(faulty, workdir, quick=True)


@pytest.mark.parametrize("stalls", PATTERNS, ids=lambda stalls: stalls.name)
def test_outputs_equal_the_reference(chain: Any, model: NativeModel, stalls: Stalls) -> None:
    result = model.run(chain.images, stalls=stalls, seed=4)
    assert compare(chain.design, result.outputs, chain.reference) is None
    assert result.output.dtype == np.int64
    assert result.cycles == result.last_output_cycle[-1] + 1


def test_cycles_without_stalls_are_those_of_the_design(chain: Any, model: NativeModel) -> None:
    result = model.run(chain.images)
    # 48 transfers of 2 cycles each per image; the last passes two registers and one wire
    assert result.first_input_cycle.tolist() == [0, 96, 192]
    assert result.last_output_cycle.tolist() == [97, 193, 289]


@pytest.mark.parametrize("stalls", [NONE, BURSTS], ids=lambda stalls: stalls.name)
def test_cycles_equal_those_of_the_cocotb_bench(
    chain: Any, model: NativeModel, workdir: Path, stalls: Stalls
) -> None:
    native = model.run(chain.images, stalls=stalls, seed=9)
    run = compile_streams(chain.design, workdir, quick=True).run(
        chain.images, stalls=stalls, seed=9
    )
    frame_in, frame_out = 48, 24
    assert np.array_equal(run.traces[0].cycles[::frame_in], native.first_input_cycle)
    assert np.array_equal(
        run.traces[-1].cycles[frame_out - 1 :: frame_out], native.last_output_cycle
    )


def test_images_may_be_split_over_processes(chain: Any, model: NativeModel) -> None:
    images = np.concatenate([chain.images] * 2)[:5]
    seen: list[SimulationProgress] = []
    result = model.run(images, jobs=2, progress=seen.append)
    expected = np.concatenate([chain.reference["count"]] * 2)[:5]
    assert np.array_equal(result.output, expected)
    assert result.shard_starts == (0, 2)
    assert result.first_input_cycle.tolist() == [0, 96, 0, 96, 192]
    assert result.cycles == 194 + 290
    assert seen[-1].done == seen[-1].total == 5 and seen[-1].images_per_second > 0
    assert not list(model.workdir.glob(".run-*"))


def test_second_compilation_does_no_work(chain: Any, model: NativeModel, workdir: Path) -> None:
    lines: list[Progress] = []
    again = compile_native(chain.design, workdir, quick=True, progress=lines.append)
    assert again.compile_seconds == 0 and not lines
    assert again.executable == model.executable
    assert model.compile_seconds > 0


def test_other_sources_are_compiled_again(chain: Any, model: NativeModel, tmp_path: Path) -> None:
    source = tmp_path / "broken.v"
    source.write_text("module chain(input clk); this is no Verilog endmodule")
    with pytest.raises(
        CompileError, match=r"^verilator_bin failed with exit status 1:\n(.|\n)*rror"
    ):
        compile_native(replace(chain.design, sources=(source,)), model.workdir)
    assert not list(model.workdir.glob(".native-*.[!l]*"))


def test_a_work_folder_with_blanks_is_one_of_the_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "cache"))
    folder, other = check_folder(tmp_path / "a b"), check_folder(tmp_path / "c d")
    assert folder.is_dir() and folder.is_relative_to(tmp_path / "cache") and folder != other
    assert check_folder(tmp_path / "a b") == folder
    assert check_folder(tmp_path / "plain") == tmp_path / "plain"
    for name in ("a$b", "a#b", "a%b", "a:b", "a'b", 'a"b', "a(b)", "a;b", "a\\b"):
        assert check_folder(tmp_path / name).is_relative_to(tmp_path / "cache")


def test_no_folder_without_blanks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "my cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "my temp"))
    with pytest.raises(CompileError, match=r"^make needs a folder without blanks in its path, got"):
        check_folder(tmp_path / "a b")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (DROP, r"^output: valid fell before the transfer at cycle \d+; input accepted \d+ of 48 "),
        (CHANGE, r"^output: payload changed while valid waited for ready at cycle \d+; "),
        (
            MISSING,
            r"^no transfer for 99 cycles: output is not valid at cycle \d+; .* gave 47 of 48",
        ),
        (
            EXTRA,
            r"^output: transfer after the last frame at cycle \d+; .* gave 48 of 48$",
        ),
        (HANG, r"^no transfer for 99 cycles: input is not ready and output is not valid at cycle"),
    ],
)
def test_broken_output_is_an_error(
    faulty_case: Callable[[int], Any], faulty_model: NativeModel, fault: int, message: str
) -> None:
    stalls = Stalls(name="slow consumer", consumer=Pause.random(0.6))
    with pytest.raises(SimulationError, match=message):
        faulty_model.run(faulty_case(SECOND + fault).images, stalls=stalls, watchdog_cycles=99)


def test_wrong_output_is_told(faulty_case: Callable[[int], Any], faulty_model: NativeModel) -> None:
    case = faulty_case(SECOND + WRONG)
    mismatch = compare(case.design, faulty_model.run(case.images).outputs, case.reference)
    assert mismatch is not None
    expected = case.reference["conv2"][0, 3, 0, 3]
    assert str(mismatch) == (
        f"layer 'conv2', image 0, channel 3, row 0, column 3: "
        f"expected {expected}, got {expected ^ 1}"
    )


def test_crash_of_the_simulator_is_an_error(chain: Any, model: NativeModel) -> None:
    crashing = replace(model, executable=Path(shutil.which("false") or "/bin/false"))
    message = r"^the simulator ended with exit status 1; it said: nothing$"
    with pytest.raises(SimulationError, match=message):
        crashing.run(chain.images)


def test_all_problems_of_a_run_are_told_at_once(chain: Any, model: NativeModel) -> None:
    message = (
        r"^images must have shape \(N, 4, 4, 6\) with N > 0, got \(3, 6, 4, 4\); "
        r"a waveform needs a model compiled with trace=True; "
        r"a waveform shows one simulation: jobs must be 1, got 0; "
        r"jobs must be at least 1, got 0$"
    )
    with pytest.raises(ValueError, match=message):
        model.run(chain.images.transpose(0, 3, 1, 2), jobs=0, waveform=Path("x.fst"))


def test_waveform_is_written(chain: Any, workdir: Path, tmp_path: Path) -> None:
    model = compile_native(chain.design, workdir, trace=True)
    result = model.run(chain.images[:1], waveform=tmp_path / "wave.fst")
    assert compare(chain.design, result.outputs, {"count": chain.reference["count"][:1]}) is None
    assert (tmp_path / "wave.fst").stat().st_size > 500
