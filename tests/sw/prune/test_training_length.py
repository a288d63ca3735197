"""Steps of a training that are known already are not estimated, and nothing warns a second time."""

import warnings

import pytest
from torch import nn

from systolith.network import KOutOfN, Pattern
from systolith.prune import DPF, ScorePruner
from systolith.prune.training_length import TrainingLength


def test_known_steps_are_not_estimated() -> None:
    length = TrainingLength(known=True)
    assert [length.new_estimate(step / 40) for step in range(3)] == [None] * 3


def test_a_method_made_for_a_short_training_warns_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    pruner = ScorePruner(patterns={"0": Pattern(select=KOutOfN(1, 4))})
    with pytest.warns(UserWarning, match="^DPF needs"):
        method = DPF.for_training(pruner, steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(5):
            with method.step(model, step / 5):
                pass
