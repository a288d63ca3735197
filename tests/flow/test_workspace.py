from pathlib import Path
from typing import Any

import pytest

from systolith.steps.workspace import Workspace, source_digest, sources_in, write_json


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
    first = workspace.stage("a", [1], ["data.txt"], work)
    again = workspace.stage("a", [1], ["data.txt"], work)
    assert (work.runs, first.cached, again.cached) == (1, False, True)
    assert again.result == first.result
    assert again.seconds == first.seconds


@pytest.mark.parametrize("change", ["depends", "changed file", "missing file", "damaged record"])
def test_a_change_runs_the_stage_again(workspace: Workspace, change: str) -> None:
    work = Counter(workspace.folder)
    workspace.stage("a", [1], ["data.txt"], work)
    match change:
        case "changed file":
            (workspace.folder / "data.txt").write_text("other")
        case "missing file":
            (workspace.folder / "data.txt").unlink()
        case "damaged record":
            (workspace.folder / "stages/a.json").write_text("{")
    workspace.stage("a", [2 if change == "depends" else 1], ["data.txt"], work)
    assert work.runs == 2


def test_a_changed_file_in_a_folder_is_noticed(workspace: Workspace) -> None:
    def work() -> dict[str, Any]:
        (workspace.folder / "rtl").mkdir(exist_ok=True)
        (workspace.folder / "rtl/top.v").write_text("module")
        return {}

    assert not workspace.stage("g", [], ["rtl/"], work).cached
    assert workspace.stage("g", [], ["rtl/"], work).cached
    (workspace.folder / "rtl/extra.v").write_text("")
    assert not workspace.stage("g", [], ["rtl/"], work).cached


def test_an_interrupted_stage_leaves_no_record(workspace: Workspace) -> None:
    def interrupted() -> dict[str, Any]:
        raise KeyboardInterrupt

    work = Counter(workspace.folder)
    workspace.stage("a", [1], ["data.txt"], work)
    with pytest.raises(KeyboardInterrupt):
        workspace.stage("a", [2], ["data.txt"], interrupted)
    assert not workspace.stage("a", [1], ["data.txt"], work).cached


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_source_digest_is_stable_within_a_process() -> None:
    assert source_digest() == source_digest()


def test_sources_are_those_of_subpackages_too(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a.py", "inner/b.py", "inner/c.v", "inner/notes.txt"):
        (tmp_path / name).write_text("")
    found = [str(path.relative_to(tmp_path)) for path in sources_in(tmp_path)]
    assert found == ["a.py", "inner/b.py", "inner/c.v"]
