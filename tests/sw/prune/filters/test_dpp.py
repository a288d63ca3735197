import pytest
import torch
from torch import nn
from torch.nn import functional as F

from systolith.prune import DPPFilters, PruneError, find_channel_groups, remove_filters

IMAGES = torch.zeros(2, 2, 6, 6)


def _model() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, 2),
        )


def test_every_draw_keeps_exactly_k_filters() -> None:
    model = _model().eval()
    nn.init.constant_(model[1].bias, 10.0)  # behind the ReLU, no channel is zero by itself
    groups = find_channel_groups(model, IMAGES)
    dpp = DPPFilters(groups, keep=0.5, noise=3.0, seed=0)
    seen: list[int] = []
    model[3].register_forward_hook(  # which reads what the gates let through
        lambda module, given, output: seen.append(int((given[0].abs().sum((0, 2, 3)) > 0).sum()))
    )
    for progress in (0.0, 0.4, 0.9):
        with dpp.step(model, progress):
            model(torch.rand(2, 2, 6, 6)).sum().backward()
    assert seen == [4, 4, 4]
    assert dpp.filters(model).kept == {"0": 4, "3": 2}


def test_keeps_the_filters_that_matter_and_they_leave() -> None:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 1, bias=False), nn.Flatten(), nn.Linear(8, 2, bias=False))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[3, 0] = model[0].weight[5, 1] = 1.0
        model[2].weight.zero_()
        model[2].weight[0, 3] = model[2].weight[1, 5] = 5.0
    images = torch.randn(128, 2, 1, 1, generator=generator)
    labels = (images[:, 1] > images[:, 0]).flatten().long()
    groups = find_channel_groups(model, images)
    dpp = DPPFilters(groups, keep=0.25, noise=1.0, seed=1)
    optimizer = torch.optim.Adam(dpp.parameters(), lr=0.1)
    for step in range(200):
        optimizer.zero_grad()
        with dpp.step(model, step / 200):
            F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    masks = dpp.filters(model)
    assert masks["0"].nonzero().flatten().tolist() == [3, 5]
    assert torch.equal(remove_filters(model, masks, images)(images), model(images))


def test_lanes_and_states() -> None:
    groups = find_channel_groups(_model(), IMAGES)
    model = _model()
    first = DPPFilters(groups, keep=0.3, multiple_of=4, noise=2.0, seed=0)
    assert first.filters(model).kept == {"0": 4, "3": 4}
    second = DPPFilters(groups, keep=0.3, multiple_of=4, noise=2.0, seed=5)
    with first.step(model, 0.0):
        model(torch.rand(2, 2, 6, 6)).sum().backward()
    second.load_state_dict(first.state_dict())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(first._generator.get_state(), second._generator.get_state())


def test_refuses_everything_at_once() -> None:
    with pytest.raises(PruneError) as caught:
        DPPFilters((), keep=0, multiple_of=0, noise=-1, temperature=(0, 1), draw_until=2)
    assert len(caught.value.problems) == 6
