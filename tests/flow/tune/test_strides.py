"""Strided taps as a choice: alone, and with the other patterns."""

from pathlib import Path
from typing import Any

import pytest
import tomlkit

from systolith.config import ConfigError, Experiment, check_experiment, merge_tables, read_content
from systolith.foundation import UsageError
from systolith.network import Conv2d, Dense, KOutOfN, Linear, Strided, load
from systolith.prune import StridedPattern
from systolith.tune import DesignSpace, Study, find_design, summarize_study, write_pick
from systolith.tune.measuring import PlanTask, plan_exactly
from tests.flow.tune.inline import CONTENT, Inline, make_study, tiny_model

PATH = Path("tiny.toml")
LAYERS = [
    {"layers": "0", "strides": [1, 3]},
    {
        "layers": "2",
        "patterns": [{"k": 1, "n": 4}, {"k": 30, "granularity": "neuron"}],
        "strides": [1, 2, 3],
    },
    {"layers": "6", "weight_bits": [8, 4]},
]
CHANGES = {"tune": {"layers": LAYERS, "points": 6}}


def _experiment(changes: dict[str, Any] | None = None) -> Experiment:
    return check_experiment(merge_tables(CONTENT, changes or CHANGES), PATH)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = make_study(tmp_path_factory.mktemp("strides"), Inline(), CHANGES)
    study.run()
    return study


def test_strides_are_an_axis_of_their_own() -> None:
    space = DesignSpace.of(_experiment(), tiny_model())
    axes = {axis.name: axis.options for axis in space.axes}
    assert axes["0 stride"] == (1, 3) and axes["2 stride"] == (1, 2, 3)
    assert "6 stride" not in axes
    first = space.uniform[0][1]
    named = {"2 pattern": "1-out-of-4", "2 stride": 3}
    assert space.groups[1].pattern({**first, **named}) == StridedPattern(
        select=KOutOfN(1, 4), stride=3
    )
    names = [name for name, _ in space.uniform]
    assert names == ["dense", "1-out-of-4", "30 per neuron", "stride 3", "stride 2"]


def test_a_point_is_spelled_as_pruning_rules_are() -> None:
    space = DesignSpace.of(_experiment(), tiny_model())
    point = {**space.uniform[0][1], "0 stride": 3, "2 pattern": "1-out-of-4", "2 stride": 2}
    experiment = _experiment(space.changes(point))
    (step,) = experiment.prune
    assert [(rule.layers, rule.select, rule.stride) for rule in step.rules] == [
        ("0", Dense(), 3),
        ("2", KOutOfN(1, 4), 2),
    ]


def test_a_stride_that_fits_nothing_is_named() -> None:
    layers = [{"layers": "6", "strides": [1, 2]}, {"layers": "[02]", "strides": [10]}]
    with pytest.raises(UsageError) as error:
        DesignSpace.of(_experiment({"tune": {"layers": layers}}), tiny_model())
    assert "stride 2 fits no layer of '6'" in str(error.value)
    assert "stride 10 fits no layer of '[02]'" in str(error.value)


def test_layers_where_no_stride_fits_keep_all_taps() -> None:
    layers = [{"layers": "[06]", "each": True, "strides": [1, 3]}]
    space = DesignSpace.of(_experiment({"tune": {"layers": layers}}), tiny_model())
    assert [axis.name for axis in space.axes] == ["0 stride", "multipliers"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "needs k, a stride, or both"),
        ({"stride": 3, "n": 4, "shared_by": 2}, "n, shared_by needs k, got none"),
        ({"stride": 0}, "must be greater than or equal to 1, got 0"),
    ],
)
def test_rules_that_say_too_little_or_too_much_are_refused(
    rule: dict[str, Any], message: str
) -> None:
    step = {"method": "magnitude", "rules": [{"layers": "2", **rule}]}
    with pytest.raises(ConfigError) as error:
        _experiment({"prune": [step]})
    assert message in str(error.value)


def test_strides_must_differ() -> None:
    layers = [{"layers": "2", "strides": [3, 3]}]
    with pytest.raises(ConfigError) as error:
        _experiment({"tune": {"layers": layers}})
    assert "strides must differ, got 3, 3" in str(error.value)


def test_what_does_not_go_together_is_never_trained(searched: Study) -> None:
    # 30 of the 24 weights that every third tap leaves cannot be kept.
    first = searched.space.uniform[0][1]
    hardware = searched.space.hardware_points[0]
    wrong = {**first, **hardware, "2 pattern": "30 per neuron", "2 stride": 3}
    assert searched.hardware.estimate(wrong) is None
    assert searched.hardware.estimate({**wrong, "2 stride": 2}) is not None
    for trial in searched.trials.complete:
        assert searched.hardware.estimate(trial.params) is not None


def test_hardware_is_as_the_planner_makes_it(searched: Study) -> None:
    strided = 0
    for design in searched.designs.all(exact=False):
        hardware = searched.space.hardware(searched.space.hardware_points[design.hardware])
        task = PlanTask(results=searched.results, key=design.key, hardware=hardware)
        layout = plan_exactly(task)
        assert layout is not None
        assert layout.cycles == design.values.cycles
        assert layout.resources.multipliers == design.values.multipliers
        network = load(searched.results / design.key / "network.json")
        weighted = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
        layers = dict(zip(searched.hardware.layers, weighted, strict=True))
        for group in searched.space.groups[:2]:
            assert str(layers[group.name].pattern) == str(group.pattern(design.point))
            strided += isinstance(layers[group.name].pattern.taps, Strided)
    assert strided


def test_sensitivity_and_warm_starts_know_strides(searched: Study) -> None:
    alone = searched.sensitivity.by_option
    assert {("0 stride", 3), ("2 stride", 2), ("2 stride", 3)} <= set(alone)
    origins = [(trial.user_attrs.get("origin"), trial.params) for trial in searched.trials.complete]
    assert any(
        origin == "uniform" and params["0 stride"] == params["2 stride"] == 3
        for origin, params in origins
    )


def test_a_strided_design_is_told_and_picked(searched: Study, tmp_path: Path) -> None:
    summary = summarize_study(searched, searched.folder)
    content = {key: value for key, value in CONTENT.items() if key != "tune"}
    document = tomlkit.dumps({**content, "tune": {"layers": LAYERS}})
    summary["experiment"] = {"path": str(searched.folder / "tiny.toml"), "text": document}
    point = next(p for p in summary["points"] if p["choices"]["2 stride"] == 3)
    assert point["layers"][1]["pattern"].endswith("every 3. tap")
    write_pick(summary, find_design(summary, point["number"]), tmp_path / "chosen.toml")
    (step,) = read_content(tmp_path / "chosen.toml")["prune"]
    assert {rule["layers"]: rule.get("stride") for rule in step["rules"]}["2"] == 3
