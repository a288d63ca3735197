"""Masks hold still between updates, pruned weights learn on, and training resumes."""

import pytest
import torch
from torch import Tensor, nn

from systolith.network import KOutOfN, Pattern
from systolith.prune import DPF, SRSTE, Cubic, PruneError, ScorePruner, WeightSparsifier

PATTERNS = {"0": Pattern(select=KOutOfN(1, 4))}
PRUNER = ScorePruner(patterns=PATTERNS, schedule=Cubic())


def _model() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 4, bias=False))


def _train(
    method: WeightSparsifier, model: nn.Sequential, steps: range, whole: int = 200
) -> list[Tensor]:
    """Train with seeded images; return the masks that were used."""
    optimizer, masks = torch.optim.SGD(model.parameters(), lr=0.2), []
    for step in steps:
        images = torch.randn(4, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        with method.step(model, step / whole):
            masks.append(model[0].weight.detach() != 0)
            (model(images) - images[:, :4]).square().sum().backward()
        optimizer.step()
    return masks


def test_masks_hold_for_an_interval_and_follow_the_schedule_exactly() -> None:
    model, dpf = _model(), DPF(PRUNER, interval=5)
    assert isinstance(dpf, WeightSparsifier)
    for step in range(0, 200, 5):
        wanted = PRUNER.masks(model, step / 200)["0.weight"]
        for mask in _train(dpf, model, range(step, step + 5)):
            assert torch.equal(mask, wanted)
    final = dpf.masks(model)
    assert final.density == 0.25 and final.patterns == {"0.weight": PATTERNS["0"]}


def test_an_update_in_every_step_is_srste_without_decay() -> None:
    one, other = _model(), _model()
    _train(DPF(PRUNER, interval=1), one, range(50))
    _train(SRSTE(PRUNER, decay=0.0), other, range(50))
    assert torch.equal(one[0].weight, other[0].weight)


def test_resumed_training_equals_uninterrupted() -> None:
    model, other = _model(), _model()
    straight, first, second = (DPF(PRUNER, interval=7) for _ in range(3))
    _train(straight, model, range(60))
    _train(first, other, range(31))
    state = first.state_dict()
    _train(first, _model(), range(31, 40))
    second.load_state_dict(state)
    _train(second, other, range(31, 60))
    assert torch.equal(model[0].weight, other[0].weight)


def test_warns_in_the_second_step_if_there_are_few_masks() -> None:
    model, dpf = _model(), DPF(PRUNER)
    _train(dpf, model, range(1), whole=100)
    message = "DPF needs 10 masks during training, got 7 in 100 steps with interval=16; .*"
    with pytest.warns(UserWarning, match=f"^{message}$"):
        _train(dpf, model, range(1, 2), whole=100)


def test_refuses_an_interval_of_zero() -> None:
    with pytest.raises(PruneError, match=r"^DPF needs an interval of at least 1, got 0$"):
        DPF(PRUNER, interval=0)
