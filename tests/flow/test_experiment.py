import re
from pathlib import Path

import pytest

from systolith.config import ConfigError, Experiment, SRSTESection, load_experiment
from systolith.network import KOutOfN
from systolith.plan import ArrayShape

ROOT = Path(__file__).parent.parent.parent
LEAST = """
name = "tiny"
[model]
factory = "digits_cnn"
[data]
factory = "digits"
"""


def _load(tmp_path: Path, text: str) -> Experiment:
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    return load_experiment(path)


def _problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    return caught.value.problems


def test_three_keys_are_enough(tmp_path: Path) -> None:
    experiment = _load(tmp_path, LEAST)
    assert experiment.seed == 0
    assert experiment.simulate.images == "all"
    assert experiment.prune == ()


def test_rules_become_patterns_and_arrays_become_shapes(tmp_path: Path) -> None:
    experiment = _load(
        tmp_path,
        LEAST + '[[prune]]\nmethod = "sr-ste"\nrules = [{layers = "conv2", k = 2, n = 8}]\n'
        "[hardware.arrays.conv2]\nrows = 9\ncolumns = 4\nmultipliers = 2\n",
    )
    (step,) = experiment.prune
    assert isinstance(step, SRSTESection)
    assert step.rules[0].select == KOutOfN(2, 8)
    assert experiment.hardware.arrays["conv2"].shape == ArrayShape(rows=9, columns=4, multipliers=2)


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    problems = _problems(
        tmp_path,
        LEAST + '[train]\nepoch = 3\nfloat_epochs = -1\n[[prune]]\nmethod = "dpp"\nrules = '
        '[{layers = "a", k = 9, n = 8}]\n'
        '[simulate]\nimages = "some"\n',
    )
    assert len(problems) == 4
    expected = [
        r"^train\.epoch: unknown key; known are algorithm, .*float_epochs",
        r"^train\.float_epochs: must be greater than or equal to 0, got -1$",
        r"^prune\[0\]\.rules\[0\]: k-out-of-n needs k <= n, got k=9, n=8$",
        r"^simulate\.images: .*must be 'all', got 'some'$",
    ]
    for pattern in expected:
        assert any(re.search(pattern, problem) for problem in problems), pattern


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            'method = "dpp"\nlearn_patterns = true\nrules = [{layers = "a", k = 1, n = 8}]\n',
            "prune[0]: learn_patterns needs a budget to choose patterns for, got rules",
        ),
        (
            'method = "dpp"\nlearn_patterns = true\ncandidates = []\nbudget = {macs = 0.5}\n',
            "prune[0]: a budget needs candidates to choose from, got none",
        ),
        (
            'method = "sr-ste"\nlearn_patterns = true\nbudget = {macs = 0.5}\n',
            "prune[0].learn_patterns: unknown key",
        ),
    ],
)
def test_patterns_are_learned_by_dpp_for_a_budget_only(
    step: str, message: str, tmp_path: Path
) -> None:
    (problem,) = _problems(tmp_path, f"{LEAST}[[prune]]\n{step}")
    assert problem.startswith(message)


def test_missing_sections_are_named(tmp_path: Path) -> None:
    problems = _problems(tmp_path, 'name = "x"\n')
    assert set(problems) == {"model: is required", "data: is required"}


def test_unknown_key_in_a_layer_section_lists_that_sections_keys(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, LEAST + "[hardware.arrays.conv2]\nrows=1\ncolumns=1\nrow=2\n")
    assert problem == (
        "hardware.arrays.conv2.row: unknown key; known are columns, multipliers, packed, rows"
    )


def test_numbers_are_not_taken_from_text(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, LEAST + '[hardware]\nmultipliers = "64"\n')
    assert problem.startswith("hardware.multipliers:")


@pytest.mark.parametrize("name", ["", "../up", "a b"])
def test_name_must_do_for_a_folder(tmp_path: Path, name: str) -> None:
    (problem,) = _problems(tmp_path, LEAST.replace("tiny", name))
    assert problem.startswith("name:")


def test_missing_file_and_broken_toml_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_experiment(tmp_path / "absent.toml")
    assert "cannot be read as TOML" in _problems(tmp_path, "name = ")[0]


def test_folders_and_files_that_are_no_text_are_told_as_such(tmp_path: Path) -> None:
    folder = tmp_path / "mine.toml"
    folder.mkdir()
    with pytest.raises(ConfigError, match="is a folder, but a file is needed$"):
        load_experiment(folder)
    (folder / "a.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="is a folder, but a file is needed: a.toml$"):
        load_experiment(folder)
    with pytest.raises(ConfigError, match="must be text in UTF-8, but is not$"):
        load_experiment(folder / "a.toml")


@pytest.mark.parametrize("section", ["simulate", "build"])
@pytest.mark.parametrize("jobs", [0, 257, 10**9])
def test_jobs_are_limited(tmp_path: Path, section: str, jobs: int) -> None:
    (problem,) = _problems(tmp_path, LEAST + f"[{section}]\njobs = {jobs}\n")
    assert problem.startswith(f"{section}.jobs:")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda p: p.name)
def test_examples_are_valid(path: Path) -> None:
    assert load_experiment(path).name
