"""Own parameters move whatever the scale of their gradients, and resume bit for bit."""

import pytest
import torch
from torch import nn

from systolith.prune import SparsifierOptimizer


def _trained(scale: float, steps: int = 10) -> torch.Tensor:
    parameter = nn.Parameter(torch.zeros(3))
    own = SparsifierOptimizer([parameter], learning_rate=0.1)
    for _ in range(steps):
        own.zero_grad_()
        parameter.grad = scale * torch.tensor([1.0, -2.0, 0.0])
        own.step_()
    return parameter.detach()


@pytest.mark.parametrize("scale", [1e3, 1.0, 1e-9])
def test_steps_do_not_depend_on_the_scale_of_gradients(scale: float) -> None:
    assert torch.allclose(_trained(scale), torch.tensor([-1.0, 1.0, 0.0]), rtol=1e-3)


def test_parameters_without_gradient_rest() -> None:
    moved, rested = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    own = SparsifierOptimizer([moved, rested], learning_rate=0.1)
    moved.grad = torch.ones(2)
    own.step_(0.5)
    assert moved.tolist() == pytest.approx([0.95, 0.95]) and rested.tolist() == [1.0, 1.0]
    own.zero_grad_()
    assert moved.grad is None


def test_a_state_is_a_copy_and_resumes() -> None:
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    first, second = (SparsifierOptimizer([value], learning_rate=0.1) for value in parameters)
    gradients = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))

    def train(own: SparsifierOptimizer, parameter: nn.Parameter, gradients: torch.Tensor) -> None:
        for gradient in gradients:
            parameter.grad = gradient.clone()
            own.step_()

    train(first, parameters[0], gradients[:3])
    state, value = first.state_dict(), parameters[0].detach().clone()
    train(first, parameters[0], gradients[3:])
    parameters[1].detach().copy_(value)
    second.load_state_dict(state)
    train(second, parameters[1], gradients[3:])
    assert torch.equal(*parameters)


def test_no_parameters_are_trained_as_well() -> None:
    own = SparsifierOptimizer([], learning_rate=0.1)
    own.zero_grad_()
    own.step_()
    own.load_state_dict(own.state_dict())


@pytest.mark.parametrize("rate", [0.0, -1.0, torch.inf, torch.nan])
def test_names_what_is_wrong_with_a_learning_rate(rate: float) -> None:
    message = f"learning_rate must be positive and finite, got {rate}"
    assert list(SparsifierOptimizer.problems(rate)) == [message]
