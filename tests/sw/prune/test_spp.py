import re

import pytest
import torch
from torch import nn

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron
from systolith.prune import SPP, MaskSet, PruneError, spp_increment


def test_increments_fall_from_most_to_zero_and_are_mirrored_behind() -> None:
    found = spp_increment(torch.arange(9), 4, 0.1)
    end = torch.exp(torch.tensor(-4.0)).item()
    wanted = [0.1 * (torch.exp(torch.tensor(-r)).item() - end) / (1 - end) for r in range(4)]
    assert found[:4].tolist() == pytest.approx(wanted)
    assert found[0].item() == pytest.approx(0.1)
    assert found[4:8].tolist() == pytest.approx([-value for value in reversed(wanted)])
    assert found[8].item() == pytest.approx(-0.1), "no more than most, however unimportant"


def _conv() -> nn.Sequential:
    """Columns whose L1 norms grow from the first to the last."""
    conv = nn.Conv2d(4, 6, 2, bias=False)
    with torch.no_grad():
        signs = torch.where(torch.rand(6, 16) < 0.5, -1.0, 1.0)
        conv.weight.copy_((signs * torch.arange(1, 17)).reshape(6, 4, 2, 2))
    return nn.Sequential(conv)


def _train(spp: SPP, model: nn.Module, steps: int, until: float = 1.0) -> None:
    for step in range(steps):
        with spp.step(model, until * step / steps):
            model(torch.ones(1, 4, 2, 2)).sum().backward()


@pytest.mark.parametrize(
    "select", [PerNeuron(5, shared_by=6), KOutOfN(1, 2, shared_by=6), KOutOfN(3, 4, shared_by=6)]
)
def test_unimportant_columns_go_and_masks_are_exact(select: PerNeuron | KOutOfN) -> None:
    model, pattern = _conv(), Pattern(select=select)
    spp = SPP(model, {"0": pattern}, interval=1, most=0.2)
    _train(spp, model, 40)
    masks = spp.masks(model)
    MaskSet(dict(masks), masks.patterns)
    weight = model[0].weight.detach().abs()
    wanted = pattern.best_mask(weight.double().numpy())
    assert masks["0.weight"].tolist() == wanted.tolist()


def test_what_reached_one_stays_pruned_and_gets_no_gradient() -> None:
    model = _conv()
    spp = SPP(model, {"0": Pattern(select=PerNeuron(8, shared_by=6))}, interval=1, most=1.0)
    _train(spp, model, 3, until=0.1)
    (odds,) = spp.probabilities().values()
    assert float(odds[0, 0]) == 1.0
    with torch.no_grad():
        model[0].weight[:, 0, 0, 0] = 1000.0
    model.zero_grad()
    _train(spp, model, 30, until=0.1)
    (odds,) = spp.probabilities().values()
    assert float(odds[0, 0]) == 1.0
    assert bool((model[0].weight.grad[:, 0, 0, 0] == 0).all())


def test_a_column_whose_weights_grow_is_reprieved() -> None:
    model = _conv()
    spp = SPP(model, {"0": Pattern(select=PerNeuron(8, shared_by=6))}, interval=1, most=0.1)
    _train(spp, model, 3, until=0.1)
    before = float(next(iter(spp.probabilities().values()))[0, 0])
    with torch.no_grad():
        model[0].weight[:, 0, 0, 0] = 1000.0
    _train(spp, model, 60, until=0.1)
    after = float(next(iter(spp.probabilities().values()))[0, 0])
    assert before > 0.2 and after == 0.0


def test_a_state_goes_on_identically() -> None:
    first, second = (
        SPP(_conv(), {"0": Pattern(select=PerNeuron(5, shared_by=6))}, interval=2, seed=seed)
        for seed in (0, 9)
    )
    model = _conv()
    _train(first, model, 7, until=0.5)
    second.load_state_dict(first.state_dict())
    seen = []
    for spp in (first, second):
        with spp.step(model, 0.5):
            seen.append(model[0].weight.detach().clone())
            model(torch.ones(1, 4, 2, 2)).sum().backward()
    assert torch.equal(*seen)
    (a,), (b,) = first.probabilities().values(), second.probabilities().values()
    assert torch.equal(a, b)


def test_refuses_patterns_that_leave_columns_to_some_filters() -> None:
    patterns = {"0": Pattern(select=KOutOfN(1, 2, shared_by=3))}
    with pytest.raises(PruneError, match=re.escape("that all 6 filters share, got 1-out-of-2")):
        SPP(_conv(), patterns)
    with pytest.raises(PruneError, match="pattern of weights"):
        SPP(_conv(), {"0": Pattern(select=KOutOfN(1, 2, Granularity.KERNEL, 6))})
    with pytest.raises(PruneError) as caught:
        SPP(_conv(), {}, interval=0, most=0, prune_until=0)
    assert len(caught.value.problems) == 3
