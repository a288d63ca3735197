"""What may be chosen, and what it means in an experiment file."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from systolith.config import (
    ConfigError,
    LayersSection,
    TuneHardwareSection,
    TuneSection,
    check_experiment,
    merge_tables,
    read_content,
)
from systolith.foundation import UsageError
from systolith.models import DigitsCNN, ResNet8
from systolith.network import KOutOfN, Pattern
from systolith.tune import DesignSpace
from tests.flow.tune.inline import CONTENT, tiny_model

PATH = Path("tiny.toml")
EXAMPLES = Path(__file__).parent.parent.parent.parent / "examples"


def _space(changes: dict[str, Any] | None = None) -> DesignSpace:
    return DesignSpace.of(
        check_experiment(merge_tables(CONTENT, changes or {}), PATH), tiny_model()
    )


def test_axes_are_the_choices_that_there_are() -> None:
    axes = {axis.name: axis.options for axis in _space().axes}
    assert axes == {
        "0 weight bits": (8, 4),
        "0 pattern": ("dense",),
        "2 pattern": ("dense", "2-out-of-4", "1-out-of-4"),
        "2 weight bits": (8, 4),
        "6 weight bits": (8, 4),
        "multipliers": (4, 8),
    }


def test_a_point_changes_just_what_it_chooses() -> None:
    space = _space()
    point = {
        **{axis.name: axis.options[0] for axis in space.axes},
        "2 pattern": "1-out-of-4",
        "6 weight bits": 4,
        "multipliers": 8,
    }
    changes = space.changes(point)
    experiment = check_experiment(merge_tables(CONTENT, changes), PATH)
    (step,) = experiment.prune
    assert step.method == "sr-ste"
    assert [(rule.layers, rule.k, rule.n) for rule in step.rules] == [("2", 1, 4)]
    assert experiment.quantize.layers["6"].weight_bits == 4
    assert experiment.quantize.layers["2"].weight_bits == 8
    assert experiment.hardware.multipliers == 8
    assert "hardware" not in space.changes(point, hardware=False)
    assert space.groups[1].pattern(point) == Pattern(select=KOutOfN(1, 4))


def test_filters_leave_before_weights_are_masked() -> None:
    space = _space({"tune": {"filters": [1.0, 0.5], "methods": ["dpp", "sr-ste"]}})
    point = {axis.name: axis.options[0] for axis in space.axes}
    assert space.changes(point)["prune"] == []
    point = {**point, "filters": 0.5, "2 pattern": "2-out-of-4", "method": "dpp"}
    assert [step["method"] for step in space.changes(point)["prune"]] == ["filters", "dpp"]
    check_experiment(merge_tables(CONTENT, space.changes(point)), PATH)


def test_the_experiments_own_step_is_what_patterns_are_pruned_with() -> None:
    own = {"method": "magnitude", "epochs": 3, "rules": [{"layers": "2", "k": 1, "n": 2}]}
    space = _space({"prune": [own]})
    point = {**{axis.name: axis.options[0] for axis in space.axes}, "2 pattern": "2-out-of-4"}
    (step,) = space.changes(point)["prune"]
    assert (step["method"], step["epochs"], step["rules"][0]["k"]) == ("magnitude", 3, 2)


def test_uniform_points_come_one_for_each_pattern() -> None:
    names = [name for name, _ in _space().uniform]
    assert names == ["dense", "2-out-of-4", "1-out-of-4"]


def test_all_that_does_not_fit_is_named_at_once() -> None:
    layers = [
        {"layers": "nothing", "weight_bits": [8]},
        {"layers": "2", "patterns": [{"k": 1, "n": 3}]},
        {"layers": "[0-2]", "weight_bits": [4]},
    ]
    hardware = {"target_fps": [100.0]}
    with pytest.raises(UsageError) as error:
        _space({"tune": {"layers": layers, "hardware": hardware}})
    for words in (
        "'nothing' must name a layer; there are 0, 2, 6",
        "1-out-of-3 fits no layer of '2'",
        "2 named twice",
        "target_fps needs clock_mhz",
    ):
        assert words in str(error.value)


def test_an_experiment_without_the_section_is_refused() -> None:
    content = {key: value for key, value in CONTENT.items() if key != "tune"}
    with pytest.raises(UsageError, match=r"needs a \[tune\] section"):
        DesignSpace.of(check_experiment(content, PATH), tiny_model())


def test_mistakes_in_the_section_are_listed() -> None:
    wrong = {
        "objectives": ["accuracy", "beauty"],
        "fidelities": [0.5, 0.1],
        "limits": {"accuracy": 97.0},
        "hardware": {"devices": ["ecp5-1f"]},
    }
    with pytest.raises(ConfigError) as error:
        _space({"tune": wrong})
    text = str(error.value)
    assert "tune.objectives[1]" in text and "no such device ecp5-1f" in text
    with pytest.raises(ConfigError) as error:
        _space({"tune": {**wrong, "objectives": ["accuracy"], "hardware": {}}})
    assert "fidelities must rise" in str(error.value)
    assert "limits.accuracy must be within 0..1" in str(error.value)


@pytest.mark.parametrize("name", ["digits_tune", "resnet8_tune"])
def test_examples_fit_their_models(name: str) -> None:
    path = EXAMPLES / f"{name}.toml"
    experiment = check_experiment(read_content(path), path)
    model = {"digits_cnn": DigitsCNN(), "resnet8": ResNet8()}[experiment.model.factory]
    space = DesignSpace.of(experiment, model)
    assert len(space.hardware_points) == 4
    for _, software in space.uniform:
        point = {**software, **space.hardware_points[0]}
        check_experiment(merge_tables(read_content(path), space.changes(point)), path)


@pytest.mark.parametrize("section", [TuneSection, LayersSection, TuneHardwareSection])
def test_every_key_is_documented(section: type[BaseModel]) -> None:
    page = (EXAMPLES.parent / "docs" / "tuning.md").read_text()
    missing = [key for key in section.model_fields if f"`{key}`" not in page]
    assert missing in ([], ["layers", "hardware"], ["hardware"])
