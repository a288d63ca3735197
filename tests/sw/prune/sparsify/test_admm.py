"""Weights are pulled to the projection, then cut to the pattern; training resumes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import ADMM, MaskSet, PruneError, WeightSparsifier
from tests.support.strategies import patterns_with_shapes

PATTERNS = {"0": Pattern(select=KOutOfN(1, 4))}


def _model() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 4, bias=False))


def _train(method: ADMM, model: nn.Sequential, steps: range, pull: float = 0.0) -> list[Tensor]:
    """Train 100 steps at most; the task pulls the weights towards 0.1 with this strength."""
    optimizer, used = torch.optim.SGD(model.parameters(), lr=0.5), []
    for step in steps:
        optimizer.zero_grad()
        with method.step(model, step / 100):
            used.append(model[0].weight.detach().clone())
            (pull * (model[0].weight - 0.1).square().sum()).backward()
        optimizer.step()
    return used


def test_the_gradient_is_that_of_the_augmented_lagrangian() -> None:
    model, rho = _model(), 0.3
    admm = ADMM(model, PATTERNS, rho=rho, interval=2)
    weight, dual = model[0].weight, torch.zeros(4, 8)
    for step in range(6):
        before = weight.detach().clone()
        if step % 2 == 0:
            largest = (before + dual).abs().reshape(8, 4).argmax(1, keepdim=True)
            kept = torch.zeros(8, 4).scatter_(1, largest, 1.0).reshape(4, 8)
            target = (before + dual) * kept
            dual = dual + before - target if step else dual
        model.zero_grad()
        with admm.step(model, step / 100):
            assert torch.equal(weight, before), "dense until the cut"
            (2 * weight.sum()).backward()
        wanted = 2 + rho * (before - target + dual)
        assert torch.allclose(weight.grad, wanted, atol=1e-6)
        with torch.no_grad():
            weight -= 0.1 * weight.grad


def test_weights_come_to_conform_before_they_are_cut() -> None:
    model = _model()
    admm = ADMM(model, PATTERNS, rho=0.5, interval=5)
    _train(admm, model, range(40), pull=0.01)
    dense = model[0].weight.detach().clone()
    mask = admm.masks(model)["0.weight"]
    assert float(dense[~mask].abs().max()) < 0.05 * float(dense[mask].abs().min())
    masks = [weight != 0 for weight in _train(admm, model, range(40, 100), pull=0.01)]
    assert all(torch.equal(used, mask) for used in masks), "cut for good"
    assert torch.equal(admm.masks(model)["0.weight"], mask)


@pytest.mark.filterwarnings("ignore:ADMM needs")
@settings(deadline=None, max_examples=60)
@given(patterns_with_shapes(), st.integers(0, 2**20))
def test_masks_and_projections_are_exact_for_every_pattern(
    drawn: tuple[Pattern, tuple[int, int, int, int]], seed: int
) -> None:
    pattern, shape = drawn
    model = nn.Sequential(nn.Conv2d(shape[1], shape[0], shape[2:], bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
    admm = ADMM(model, {"0": pattern})
    assert isinstance(admm, WeightSparsifier)
    with admm.step(model, 0.0):
        model[0].weight.sum().backward()
    target = admm.state_dict()["targets"]["0.weight"]
    MaskSet({"0.weight": target != 0}, {"0.weight": pattern})
    for progress in (0.0, 0.7):
        with admm.step(model, progress):
            pass
        masks = admm.masks(model)
        MaskSet(dict(masks), masks.patterns)


def test_a_projection_keeps_the_kernels_of_largest_norm() -> None:
    """The kernel with the largest sum is not the nearest one."""
    model = nn.Sequential(nn.Conv2d(2, 1, 2, bias=False))
    with torch.no_grad():
        model[0].weight[0, 0] = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
        model[0].weight[0, 1] = 1.0
    admm = ADMM(model, {"0": Pattern(select=KOutOfN(1, 2, Granularity.KERNEL))})
    assert admm.masks(model)["0.weight"].all(dim=(0, 2, 3)).tolist() == [True, False]


@pytest.mark.parametrize("stop", [33, 70], ids=["dense", "cut"])
def test_resumed_training_equals_uninterrupted(stop: int) -> None:
    """Optimizers start anew at the stop in both runs."""
    runs = []
    for interrupted in (False, True):
        model = _model()
        admm = ADMM(model, PATTERNS, rho=0.1, interval=7)
        _train(admm, model, range(stop), pull=0.01)
        if interrupted:
            state = admm.state_dict()
            _train(admm, _model(), range(stop, stop + 9), pull=0.01)
            admm = ADMM(model, PATTERNS, rho=0.1, interval=7)
            admm.load_state_dict(state)
        _train(admm, model, range(stop, 100), pull=0.01)
        runs.append(model[0].weight.detach())
    assert torch.equal(*runs)


def test_warns_in_the_second_step_if_there_are_few_projections() -> None:
    model = _model()
    admm = ADMM(model, PATTERNS, interval=20)
    _train(admm, model, range(1))
    message = (
        r"ADMM needs 5 projections until prune_at=0.4, got 2 in 100 steps with interval=20; .*"
    )
    with pytest.warns(UserWarning, match=f"^{message}$"):
        _train(admm, model, range(1, 2))


def test_refuses_numbers_out_of_range_all_at_once() -> None:
    with pytest.raises(PruneError) as caught:
        ADMM(_model(), PATTERNS, rho=0, interval=0, prune_at=2)
    assert list(caught.value.problems) == [
        "rho must be positive and finite, got 0",
        "interval must be at least 1, got 0",
        "prune_at must lie in 0..1, got 2",
    ]
    with pytest.raises(PruneError, match="divisible by 3"):
        ADMM(_model(), {"0": Pattern(select=KOutOfN(1, 3))})
