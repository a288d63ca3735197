import pytest
import torch
from torch import nn
from torch.nn import functional as F

from systolith.prune import (
    DPPFilters,
    FilterSparsifier,
    PruneError,
    find_channel_groups,
    gated,
    remove_filters,
)
from systolith.prune.dpp.gumbel import draw_gumbel_noise, draw_top_k, relaxed_gradient
from systolith.prune.filters import gated_channels

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
    for step in range(200):
        model.zero_grad()
        with dpp.step(model, step / 200):
            F.cross_entropy(model(images), labels).backward()
    masks = dpp.filters(model)
    assert masks["0"].nonzero().flatten().tolist() == [3, 5]
    assert torch.equal(remove_filters(model, masks, images)(images), model(images))


def test_logits_get_the_gradient_at_the_gates_through_the_relaxation() -> None:
    model = _model().eval()
    groups = find_channel_groups(model, IMAGES)
    dpp = DPPFilters(groups, keep=0.5, noise=0.7, entropy=0.3, temperature=(4.0, 2.0), seed=3)
    generator = torch.Generator().manual_seed(3)
    starts = [0.5 * torch.randn(1, size, generator=generator) for size in (8, 4)]
    assert all(torch.equal(a, b) for a, b in zip(starts, dpp.logits().values(), strict=True))
    noisy = [start + 0.7 * draw_gumbel_noise(start, generator) for start in starts]
    drawn = [draw_top_k(values, k) for values, k in zip(noisy, (4, 2), strict=True)]
    gates = [
        torch.zeros_like(values).scatter(1, order, 1.0)[0].requires_grad_()
        for values, order in zip(noisy, drawn, strict=True)
    ]
    images = torch.rand(3, 2, 6, 6, generator=generator)
    with gated_channels(model, groups, dict(zip(("0", "3"), gates, strict=True))):
        loss = model(images).square().sum()
    wanted = torch.autograd.grad(loss, [*gates, model[3].weight])

    with dpp.step(model, 0.4):
        model(images).square().sum().backward()
    assert torch.equal(model[3].weight.grad, wanted[2])
    assert not model[3].weight.grad[:, gates[0] == 0].any()
    for i, logits in enumerate(dpp.logits().values()):
        leaf = starts[i].clone().requires_grad_()
        (0.3 * torch.special.entr(leaf.softmax(1)).sum()).backward()
        relaxed = relaxed_gradient(noisy[i], drawn[i], wanted[i].unsqueeze(0), 3.0)
        assert torch.allclose(logits.grad, relaxed + leaf.grad, atol=1e-5)


def test_scores_decide_where_logits_start() -> None:
    model = _model()
    groups = find_channel_groups(model, IMAGES)
    score = torch.tensor([3.0, 9.0, 0.0, 1.0, 8.0, 2.0, 7.0, 4.0])
    dpp = DPPFilters(groups, keep=0.375, scores={"0": score})
    assert dpp.filters(model)["0"].nonzero().flatten().tolist() == [1, 4, 6]
    scored, random = (logits.detach() for logits in dpp.logits().values())
    assert float(scored.mean()) == pytest.approx(0, abs=1e-6)
    assert float(scored.std(correction=0)) == pytest.approx(0.5)
    assert random.unique().numel() == 4


def test_logits_rest_once_masks_are_final() -> None:
    model = _model()
    dpp = DPPFilters(find_channel_groups(model, IMAGES), keep=0.5, noise=9.0, draw_until=0.5)
    assert isinstance(dpp, FilterSparsifier)
    with dpp.step(model, 0.5):
        output = model(torch.ones(2, 2, 6, 6))
        output.sum().backward()
    assert all(logits.grad is None for logits in dpp.logits().values())
    with gated(model, dpp.filters(model).gates()):
        assert torch.equal(model(torch.ones(2, 2, 6, 6)), output)
    for name, statistics in dpp.statistics().items():
        assert 0 < statistics.confidence < 1 and statistics.diversity == 0, name


def test_an_interrupted_run_ends_the_same() -> None:
    def run(first: DPPFilters, second: DPPFilters) -> list[torch.Tensor]:
        model = _model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(6):
            dpp = (first, second)[step >= 3]
            if step == 3 and first is not second:
                second.load_state_dict(first.state_dict())
            optimizer.zero_grad()
            with dpp.step(model, step / 10):
                model(torch.ones(2, 2, 6, 6)).square().mean().backward()
            optimizer.step()
        return [*model.parameters(), *second.logits().values()]

    groups = find_channel_groups(_model(), IMAGES)
    whole, again, other = (DPPFilters(groups, keep=0.5, noise=2.0, seed=seed) for seed in (0, 0, 7))
    for a, b in zip(run(whole, whole), run(again, other), strict=True):
        assert torch.equal(a, b)


def test_counts_fill_lanes() -> None:
    groups = find_channel_groups(_model(), IMAGES)
    model = _model()
    assert DPPFilters(groups, keep=0.3, multiple_of=4).filters(model).kept == {"0": 4, "3": 4}
    assert DPPFilters(groups, keep=0.75, multiple_of=3).filters(model).kept == {"0": 6, "3": 3}
    assert DPPFilters(groups, keep=0.01).filters(model).kept == {"0": 1, "3": 1}


def test_refuses_everything_at_once() -> None:
    with pytest.raises(PruneError) as caught:
        DPPFilters(
            (),
            keep=0,
            multiple_of=0,
            noise=-1,
            temperature=(0, 1),
            draw_until=2,
            travel=torch.inf,
        )
    assert len(caught.value.problems) == 7
    groups = find_channel_groups(_model(), IMAGES)
    scores = {"x": torch.ones(2), "3": torch.ones(3), "0": torch.full((8,), torch.nan)}
    with pytest.raises(PruneError) as caught:
        DPPFilters(groups, keep=0.5, scores=scores)
    assert list(caught.value.problems) == [
        "scores must name a removable group of 0, 3, got 'x'",
        "scores of group '3' must be 4 finite numbers, got [1.0, 1.0, 1.0]",
        f"scores of group '0' must be 8 finite numbers, got {[float('nan')] * 8}",
    ]
