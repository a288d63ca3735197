"""Logits move as far in a long training as in a short one."""

import pytest
import torch
from torch import nn

from systolith.prune.dpp.logit_optimizer import LogitOptimizer
from systolith.prune.dpp.mask_logits import Annealing

ANNEALING = Annealing(temperature=(5.0, 0.5), draw_until=0.8)


def _train(logits: nn.Parameter, optimizer: LogitOptimizer, first: int, last: int, of: int) -> None:
    for step in range(first, last):
        optimizer.begin_(step / of)
        logits.grad = torch.tensor([1.0, -1e-6])
        optimizer.step_(step / of)


@pytest.mark.parametrize("steps", [50, 500])
def test_travel_does_not_depend_on_the_number_of_steps(steps: int) -> None:
    logits = nn.Parameter(torch.zeros(2))
    _train(logits, LogitOptimizer([logits], ANNEALING, travel=6.0), 0, steps, of=steps)
    # The first step, in which the number of steps is unknown, is missing.
    assert logits.tolist() == pytest.approx([-6.0, 6.0], rel=2.5 / (0.8 * steps))


def test_progress_that_changes_once_per_epoch_reaches_as_far_from_the_second_epoch_on() -> None:
    logits = nn.Parameter(torch.zeros(2))
    optimizer = LogitOptimizer([logits], ANNEALING, travel=6.0)
    for epoch in range(20):
        for _ in range(10):
            optimizer.begin_(epoch / 20)
            logits.grad = torch.ones(2)
            optimizer.step_(epoch / 20)
    assert logits.tolist() == pytest.approx([-6.0, -6.0], rel=0.15)


def test_a_state_resumes_bit_for_bit() -> None:
    logits = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    whole, rest = (LogitOptimizer([value], ANNEALING, travel=6.0) for value in logits)
    _train(logits[0], whole, 0, 15, of=40)
    state, value = whole.state_dict(), logits[0].detach().clone()
    _train(logits[0], whole, 15, 40, of=40)
    logits[1].detach().copy_(value)
    rest.load_state_dict(state)
    _train(logits[1], rest, 15, 40, of=40)
    assert torch.equal(*logits)
