"""Grouped convolutions, fewer filters: estimates before training are the planner's own numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from systolith.compress import FilterScorePruning, Trainer, prune_model
from systolith.config import Experiment, check_experiment, merge_tables
from systolith.foundation import UsageError
from systolith.frontend import lower
from systolith.plan import plan_network
from systolith.prune import ScorePruner, match_patterns
from systolith.quant import prepare
from systolith.train import Recipe
from systolith.tune import DesignSpace
from systolith.tune.model import HardwareModel
from tests.flow.tune.inline import CONTENT, tiny_data, tiny_model

KERNEL, NEURON = {"granularity": "kernel"}, {"granularity": "neuron"}


def _model() -> nn.Module:
    torch.manual_seed(0)
    model = tiny_model()
    assert isinstance(model, nn.Sequential)
    model[2] = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2)
    return model.eval()


def _experiment(patterns: list[dict[str, Any]]) -> Experiment:
    layers = [{"layers": "2", "patterns": patterns, "strides": [1, 3]}]
    return check_experiment(merge_tables(CONTENT, {"tune": {"layers": layers}}), Path("tiny.toml"))


def test_estimates_are_what_the_planner_makes() -> None:
    model, images = _model(), tiny_data().train_images[:16]
    patterns = [{"k": 1, "n": 4}, {"k": 1, "n": 2, **KERNEL}, {"k": 9, **NEURON}]
    space = DesignSpace.of(_experiment(patterns), model)
    hardware = HardwareModel(space, model, images)
    cycles = {}
    for name, choice in space.uniform:
        point = {**choice, **space.hardware_points[0]}
        chosen = match_patterns(model, [("2", space.groups[0].pattern(point))])
        masks = ScorePruner(patterns=chosen).masks(model)
        plan = plan_network(
            lower(prepare(model, images, None, masks)), budget=space.hardware(point).budget
        )
        estimate = hardware.estimate(point)
        assert estimate is not None and estimate.cycles == plan.cycles_per_frame
        cycles[name] = estimate.cycles
    assert set(cycles) == {"dense", "1-out-of-4", "1-out-of-2 kernels", "9 per neuron", "stride 3"}
    assert all(cycles[name] < cycles["dense"] for name in set(cycles) - {"dense"})


@pytest.mark.parametrize("share", [0.7, 0.3])
def test_estimates_with_fewer_filters_are_of_what_training_keeps(share: float) -> None:
    model, data = tiny_model(), tiny_data()
    content = merge_tables(CONTENT, {"tune": {"filters": [1.0, share]}})
    space = DesignSpace.of(check_experiment(content, Path("tiny.toml")), model)
    point = {**space.uniform[0][1], **space.hardware_points[0], "filters": share}
    estimate = HardwareModel(space, model, data.train_images[:16]).estimate(point)
    pruning = FilterScorePruning(keep=share, per_layer=True)
    small = prune_model(model, Trainer(data=data, recipe=Recipe(prune_epochs=0)), [pruning]).model
    network = lower(prepare(small, data.train_images[:16]))
    plan = plan_network(network, budget=space.hardware(point).budget)
    assert estimate is not None and estimate.cycles == plan.cycles_per_frame


def test_patterns_are_those_of_the_weights_of_a_group() -> None:
    with pytest.raises(UsageError, match="1-out-of-8 fits no layer of '2'"):
        DesignSpace.of(_experiment([{"k": 1, "n": 8}]), _model())
