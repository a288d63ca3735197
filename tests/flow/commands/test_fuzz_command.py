"""Exit codes of ``systolith fuzz``: 0 all equal, 1 a difference, 2 bad usage or input."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.commands.fuzz_runs import DOORS
from systolith.fuzz import CONTENTS, SeededChoices, draw_case


def _fuzz(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["fuzz", *(str(argument) for argument in arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    draw_case(SeededChoices("0/0"), 1).save(tmp_path / "kept")
    return tmp_path / "kept"


def test_equal_networks_end_with_zero_and_are_counted(tmp_path: Path) -> None:
    options = ("--count", 1, "--seed", 4, "--jobs", 1, "--most-layers", 1, "-o", tmp_path)
    code, shown, _ = _fuzz(*options, "--json")
    result = json.loads(shown)
    assert code == 0
    assert (result["seed"], result["networks"], result["passed"]) == (4, 1, True)
    assert result["mismatches"] == result["cycle_errors"] == result["errors"] == 0
    assert list(result["layers"]) == list(CONTENTS) and any(result["layers"].values())
    assert result["failures"] == [] and not list(tmp_path.iterdir())


def test_a_replayed_case_that_fails_ends_with_one(kept: Path) -> None:
    np.save(kept / "images.npy", np.full_like(np.load(kept / "images.npy"), 1 << 20))
    code, shown, said = _fuzz("--replay", kept)
    assert code == 1
    assert "NOT EQUAL" in shown
    assert "not equal: error: " in said


def test_a_failing_replay_as_json_lists_findings_and_nothing_else(kept: Path) -> None:
    np.save(kept / "images.npy", np.full_like(np.load(kept / "images.npy"), 1 << 20))
    code, shown, _ = _fuzz("--replay", kept, "--json")
    assert code == 1
    result = json.loads(shown)
    assert result["passed"] is False and len(result["findings"]) == 1


@pytest.mark.parametrize("content", ["{}", "no json"])
def test_what_is_no_case_ends_with_two(kept: Path, content: str) -> None:
    (kept / "case.json").write_text(content)
    code, _, said = _fuzz("--replay", kept)
    assert code == 2
    assert "does not hold a case" in said


def test_a_folder_without_a_case_ends_with_two(tmp_path: Path) -> None:
    code, _, said = _fuzz("--replay", tmp_path)
    assert code == 2
    assert "--replay needs a folder with a case.json" in said


@pytest.mark.parametrize("option", ["--count", "--jobs", "--most-layers"])
def test_none_is_too_few(option: str) -> None:
    assert _fuzz(option, 0)[0] == 2


@pytest.mark.parametrize("door", ["pytorch", "onnx", "tflite"])
def test_a_door_says_what_was_covered_and_why_it_refused(door: str, tmp_path: Path) -> None:
    options = ("--door", door, "--count", 6, "--seed", 4, "--jobs", 1, "-o", tmp_path)
    code, shown, _ = _fuzz(*options, "--json")
    result = json.loads(shown)
    assert code == 0 and result["passed"] and result["door"] == door
    assert result["accepted"] + result["refused"] == result["networks"] == 6
    assert result["accepted"] and result["contents"] and not result["failures"]
    assert all(sum(counts.values()) for counts in result["contents"].values())
    assert bool(result["refused"]) == bool(result["refusals"])
    code, shown, _ = _fuzz(*options)
    assert code == 0 and "accepted" in shown
    assert ("Reasons to refuse" in shown) == bool(result["refused"])


@pytest.mark.parametrize("door", ["pytorch", "onnx", "tflite"])
def test_a_kept_case_of_a_door_is_replayed(door: str, tmp_path: Path) -> None:
    target = DOORS[door].target(0)
    drawn = map(target.draw, _seeds())
    case = next(each for each in drawn if target.judge(each, tmp_path).outcome == "accepted")
    case.save(tmp_path / "kept")
    code, shown, _ = _fuzz("--replay", tmp_path / "kept")
    assert code == 0 and "equal" in shown
    (tmp_path / "kept" / "case.json").write_text("{}")
    code, _, said = _fuzz("--replay", tmp_path / "kept")
    assert code == 2 and "does not hold" in said


def _seeds() -> Iterator[SeededChoices]:
    return (SeededChoices(f"1/{number}") for number in range(20))
