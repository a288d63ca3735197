"""The commands, as people type them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from systolith.cli import app
from systolith.config import read_content
from systolith.tune import summarize_study
from tests.flow.tune.inline import Inline, make_study

ROOT = Path(__file__).parent.parent.parent.parent


def _type(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["tune", *map(str, arguments)])


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    study = make_study(folder, Inline(), {"tune": {"points": 3}})
    study.run()
    text = "name = 'tiny'\n[model]\nfactory = 'resnet8'\n[data]\nfactory = 'digits'\n"
    text += "[hardware]\ndevice = 'ecp5-25f'\n"
    experiment = {"path": str(folder / "tiny.toml"), "text": text}
    account = {**summarize_study(study, folder), "experiment": experiment}
    (folder / "study.json").write_text(json.dumps(account))
    return folder


def test_the_best_by_an_objective_is_picked(searched: Path, tmp_path: Path) -> None:
    result = _type("pick", searched, "fps", "--output", tmp_path / "fast.toml")
    assert result.exit_code == 0, result.output
    account = json.loads((searched / "study.json").read_text())
    fastest = max(
        (point for point in account["points"] if point["front"]),
        key=lambda point: point["values"]["fps"],
    )
    content = read_content(tmp_path / "fast.toml")
    assert content["name"] == f"tiny_{fastest['number'].replace('.', '_')}"
    assert content["hardware"]["arrays"] == fastest["arrays"]
    assert content["build"] == {"device": "ecp5-25f"}
    assert "tune" not in content
    result = _type("pick", searched, "fps", "--no-build", "-o", tmp_path / "bare.toml")
    assert "build" not in read_content(tmp_path / "bare.toml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pick", "SEARCHED", "77.7"], "no design '77.7'"),
        (["pick", "nowhere", "fps"], "no study.json"),
        ([ROOT / "examples/digits.toml"], "needs a [tune] section"),
        (["nothing.toml"], "no such file"),
        ([ROOT / "examples/digits_tune.toml", "--sampler", "guessing"], "guessing"),
    ],
)
def test_what_cannot_be_is_said_with_exit_code_2(
    arguments: list[object], words: str, searched: Path, tmp_path: Path
) -> None:
    given = [searched if each == "SEARCHED" else each for each in arguments]
    given = given if given[0] == "pick" else [*given, "-o", tmp_path / "out"]
    result = _type(*given)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()
