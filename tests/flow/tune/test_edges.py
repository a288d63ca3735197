"""Searches with nothing to find, and with as little as there can be."""

from pathlib import Path

import pytest

from systolith.cli.commands.searching import _explain_empty_front
from systolith.config import ObjectiveName, SamplerName, check_experiment
from systolith.foundation import UsageError
from systolith.models import DigitsCNN
from systolith.stages.software.factories import make_data
from systolith.tune import DesignSpace
from systolith.tune.limits import check_search
from systolith.tune.measuring import TrainTask
from systolith.tune.samplers import make_sampler


def _space(limits: dict[str, float], **sections: object) -> DesignSpace:
    content = {
        **sections,
        "name": "edges",
        "model": {"factory": "digits_cnn"},
        "data": {"factory": "digits"},
        "tune": {
            "limits": limits,
            "layers": [{"layers": "conv[23]", "each": True, "patterns": [{"k": 2, "n": 8}]}],
            "hardware": {"multipliers": [16, 64]},
        },
    }
    experiment = check_experiment(content, Path("edges.toml"))
    return DesignSpace.of(experiment, DigitsCNN())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"luts": 10.0},
            r"^tune.limits.luts = 10 is kept by no design; the nearest has \d+: conv2",
        ),
        ({"fps": 1e9}, r"^tune.limits.fps = 1e\+09 is kept by no design; the nearest has "),
    ],
)
def test_a_limit_that_nothing_keeps_is_known_before_training(
    limits: dict[str, float], message: str
) -> None:
    space = _space(limits)
    data = make_data(space.experiment.data, 0, Path())
    with pytest.raises(UsageError, match=message):
        check_search(space, DigitsCNN, data, Path())


def test_limits_that_a_mixed_design_keeps_are_searched_for() -> None:
    space = _space({"luts": 1e6, "accuracy": 0.99})
    check_search(space, DigitsCNN, make_data(space.experiment.data, 0, Path()), Path())


def test_teachers_and_rules_that_do_not_fit_are_known_before_training() -> None:
    rule = {"layers": "conv2", "k": 2, "n": 7}
    space = _space(
        {}, train={"teacher": "digits_cnn"}, prune=[{"method": "magnitude", "rules": [rule]}]
    )
    data = make_data(space.experiment.data, 0, Path())
    with pytest.raises(ValueError, match=r"needs in_channels divisible by 7") as caught:
        check_search(space, DigitsCNN, data, Path())
    assert "train.teacher.factory 'digits_cnn' needs train.teacher.weights" in str(caught.value)


def test_a_point_is_measured_again_if_the_teacher_changes(tmp_path: Path) -> None:
    teacher = {"factory": "digits_cnn", "weights": "teacher.pt"}
    content = _space({}, train={"teacher": teacher}).experiment.model_dump(mode="json")
    (tmp_path / "dense").touch()
    keys = set()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "teacher.pt").write_text(name)
        task = TrainTask(
            content=content,
            folder=tmp_path / name,
            weights=tmp_path / "dense",
            fidelity=1.0,
            results=tmp_path,
            seconds=1.0,
        )
        keys.add(task.key)
    assert len(keys) == 2


@pytest.mark.parametrize("name", SamplerName)
def test_every_sampler_takes_batches_of_one(name: SamplerName) -> None:
    make_sampler(name, 0, 0, 1, _space({}).axes, set())


def test_an_empty_front_says_which_limit_is_broken_and_the_best() -> None:
    point = {"values": {"accuracy": 0.5, "luts": 4000.0}}
    account = {"points": [point, {"values": {"accuracy": 0.75, "luts": 9000.0}}], "failures": []}
    limits = {ObjectiveName.ACCURACY: 0.9, ObjectiveName.LUTS: 100.0}
    said = _explain_empty_front(account, limits)
    assert said.startswith("none of 2 designs keeps to the limits: limits.accuracy = 0.9, the best")
    assert "is 0.75; limits.luts = 100, the best is 4000" in said
