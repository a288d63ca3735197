"""Own parameters travel a given distance, whatever the steps and the scale of gradients."""

import pytest
import torch
from torch import nn

from systolith.prune import SparsifierOptimizer


def _train(
    parameters: nn.Parameter, optimizer: SparsifierOptimizer, first: int, last: int, of: int
) -> None:
    for step in range(first, last):
        optimizer.begin_(step / of)
        parameters.grad = torch.tensor([1.0, -1e-6])
        optimizer.step_(step / of)


@pytest.mark.parametrize("steps", [50, 500])
def test_travel_does_not_depend_on_the_number_of_steps(steps: int) -> None:
    parameters = nn.Parameter(torch.zeros(2))
    _train(parameters, SparsifierOptimizer([parameters], travel=6.0, until=0.8), 0, steps, of=steps)
    # The first step, in which the number of steps is unknown, is missing.
    assert parameters.tolist() == pytest.approx([-6.0, 6.0], rel=2.5 / (0.8 * steps))


def test_progress_that_changes_once_per_epoch_reaches_as_far_from_the_second_epoch_on() -> None:
    parameters = nn.Parameter(torch.zeros(2))
    optimizer = SparsifierOptimizer([parameters], travel=6.0, until=0.8)
    for epoch in range(20):
        for _ in range(10):
            optimizer.begin_(epoch / 20)
            parameters.grad = torch.ones(2)
            optimizer.step_(epoch / 20)
    assert parameters.tolist() == pytest.approx([-6.0, -6.0], rel=0.15)


def test_a_state_resumes_bit_for_bit() -> None:
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    whole, rest = (SparsifierOptimizer([value], travel=6.0, until=0.8) for value in parameters)
    _train(parameters[0], whole, 0, 15, of=40)
    state, value = whole.state_dict(), parameters[0].detach().clone()
    _train(parameters[0], whole, 15, 40, of=40)
    parameters[1].detach().copy_(value)
    rest.load_state_dict(state)
    _train(parameters[1], rest, 15, 40, of=40)
    assert torch.equal(*parameters)


@pytest.mark.parametrize("scale", [1e3, 1.0, 1e-9])
def test_steps_do_not_depend_on_the_scale_of_gradients(scale: float) -> None:
    parameter = nn.Parameter(torch.zeros(3))
    optimizer = SparsifierOptimizer([parameter], travel=1.0)
    for step in range(20):
        optimizer.begin_(step / 20)
        parameter.grad = scale * torch.tensor([1.0, -2.0, 0.0])
        optimizer.step_(step / 20)
    assert parameter.tolist() == pytest.approx([-0.95, 0.95, 0.0], rel=1e-3)


def test_parameters_without_gradient_rest() -> None:
    moved, rested = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = SparsifierOptimizer([moved, rested], travel=1.0)
    for progress in (0.0, 0.5):
        optimizer.begin_(progress)
        assert moved.grad is None
        moved.grad = torch.ones(2)
        optimizer.step_(progress)
    assert moved.tolist() == pytest.approx([0.5, 0.5]) and rested.tolist() == [1.0, 1.0]


def test_no_parameters_are_trained_as_well() -> None:
    optimizer = SparsifierOptimizer([], travel=0.1)
    for progress in (0.0, 0.5):
        optimizer.begin_(progress)
        optimizer.step_(progress)
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("travel", [0.0, -1.0, torch.inf, torch.nan])
def test_names_what_is_wrong_with_a_travel(travel: float) -> None:
    message = f"travel must be positive and finite, got {travel}"
    assert list(SparsifierOptimizer.problems(travel)) == [message]
