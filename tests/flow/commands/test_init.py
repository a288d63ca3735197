"""systolith init: what it writes runs as it is, and nothing is overwritten."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.app import FILES
from systolith.config import load_experiment


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("shorter", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_is_written_runs(
    shorter: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is, or with fewer epochs and images."""
    monkeypatch.chdir(tmp_path)
    code, shown, _ = _run("init", "first")
    assert code == 0
    *_, last = shown.splitlines()
    assert last == "next: cd first && systolith run experiment.toml"
    monkeypatch.chdir("first")
    if shorter:
        text = Path("experiment.toml").read_text()
        text = re.sub("_epochs = [0-9]+", "_epochs = 1", text)
        Path("experiment.toml").write_text(re.sub("(?m)^images = [0-9]+", "images = 2", text))
    code, shown, said = _run(*shlex.split(last.partition("&& systolith ")[2]), "--json")
    assert code == 0, said
    report = json.loads(shown)
    assert report["verification"]["passed"]
    assert shorter or report["accuracy"]["rtl"] > 0.8
    assert {path.name for path in Path().iterdir()} >= {*FILES, "out"}


def test_every_key_that_is_commented_out_is_one(tmp_path: Path) -> None:
    assert _run("init", tmp_path)[0] == 0
    path = tmp_path / "experiment.toml"
    lines = path.read_text().splitlines()
    assert sum(line.startswith("# weights = ") for line in lines) == 1
    path.write_text("\n".join(line.removeprefix("# ") if " = " in line else line for line in lines))
    assert load_experiment(path).model.weights == "weights.pt"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    code, _, said = _run("init", tmp_path)
    assert code == 2
    assert f"init overwrites nothing, but there is {tmp_path / name}; give another folder" in said
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    code, _, said = _run("init", tmp_path / "x")
    assert code == 2 and "init needs a folder" in said


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *arguments: object, **options: object) -> str:
        raise OSError(28, os.strerror(28), str(self))

    monkeypatch.setattr(Path, "read_text", full)
    code, _, said = _run("init", tmp_path / "new")
    assert code == 2 and "No space left on device" in said
    assert list((tmp_path / "new").iterdir()) == []


def test_the_next_command_quotes_a_path_with_blanks(tmp_path: Path) -> None:
    folder = tmp_path / "with blanks"
    code, shown, _ = _run("init", folder)
    assert code == 0
    assert f"next: cd '{folder}' && systolith run experiment.toml\n" in shown
