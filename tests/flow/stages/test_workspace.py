from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from systolith.stages.keys import Inputs, explain_changes
from systolith.stages.workspace import Workspace


class Counter:
    """A stage that writes one file and counts how often it ran."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, 0

    def __call__(self) -> dict[str, Any]:
        self.runs += 1
        (self.folder / "data.txt").write_text("result")
        return {"runs": self.runs}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_stage_that_is_done_is_found_again(workspace: Workspace) -> None:
    work = Counter(workspace.folder)
    first = workspace.stage("a", {"setting": {"x": 1}}, ["data.txt"], work)
    again = workspace.stage("a", {"setting": {"x": 1}}, ["data.txt"], work)
    assert (work.runs, first.cached, again.cached) == (1, False, True)
    assert again.result == first.result
    assert again.seconds == first.seconds


@pytest.mark.parametrize("change", ["depends", "changed file", "missing file", "damaged record"])
def test_a_change_runs_the_stage_again(workspace: Workspace, change: str) -> None:
    work = Counter(workspace.folder)
    workspace.stage("a", {"setting": {"x": 1}}, ["data.txt"], work)
    match change:
        case "changed file":
            (workspace.folder / "data.txt").write_text("other")
        case "missing file":
            (workspace.folder / "data.txt").unlink()
        case "damaged record":
            (workspace.folder / "stages/a.json").write_text("{")
    workspace.stage("a", {"setting": {"x": 2 if change == "depends" else 1}}, ["data.txt"], work)
    assert work.runs == 2


def test_a_changed_file_in_a_folder_is_noticed(workspace: Workspace) -> None:
    def work() -> dict[str, Any]:
        (workspace.folder / "rtl").mkdir(exist_ok=True)
        (workspace.folder / "rtl/top.v").write_text("module")
        return {}

    assert not workspace.stage("g", {"setting": {"x": 0}}, ["rtl/"], work).cached
    assert workspace.stage("g", {"setting": {"x": 0}}, ["rtl/"], work).cached
    (workspace.folder / "rtl/extra.v").write_text("")
    assert not workspace.stage("g", {"setting": {"x": 0}}, ["rtl/"], work).cached


def test_an_interrupted_stage_leaves_no_record(workspace: Workspace) -> None:
    def interrupted() -> dict[str, Any]:
        raise KeyboardInterrupt

    work = Counter(workspace.folder)
    workspace.stage("a", {"setting": {"x": 1}}, ["data.txt"], work)
    with pytest.raises(KeyboardInterrupt):
        workspace.stage("a", {"setting": {"x": 2}}, ["data.txt"], interrupted)
    assert not workspace.stage("a", {"setting": {"x": 1}}, ["data.txt"], work).cached


@pytest.mark.parametrize(
    ("before", "now", "reasons"),
    [
        ({"setting": {"k": 2}}, {"setting": {"k": 4}}, ["k changed: 2 -> 4"]),
        ({"setting": {}}, {"setting": {"k": 4}}, ["k changed: none -> 4"]),
        ({"source": {"m.py": "a"}}, {"source": {"m.py": "b"}}, ["source changed: m.py"]),
        ({"source": {"m.py": "a"}}, {}, ["source changed: m.py"]),
        (
            {"program": dict.fromkeys("abcd", 0)},
            {"program": dict.fromkeys("abcd", 1)},
            ["systolith changed: a, b, c and 1 more"],
        ),
        ({"library": {"torch": "1"}}, {"library": {"torch": "2"}}, ["torch changed: 1 -> 2"]),
        ({"weights": {"w": "a"}}, {"weights": {"w": "a"}}, []),
    ],
)
def test_reasons_name_what_changed(before: Inputs, now: Inputs, reasons: list[str]) -> None:
    assert list(explain_changes(before, now)) == reasons


def test_a_stage_tells_why_before_it_runs_again(workspace: Workspace) -> None:
    reported: list[Sequence[str]] = []
    work = Counter(workspace.folder)
    for number in (1, 1, 2):
        record = workspace.stage("a", {"setting": {"x": number}}, [], work, reported.append)
    assert reported == [("x changed: 1 -> 2",)] == [record.reasons]
