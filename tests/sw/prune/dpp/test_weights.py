"""Drawn masks are exact, logits follow the gradient at the mask, and training resumes."""

import re
from itertools import product

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import Dense, Granularity, KOutOfN, Pattern, PerNeuron, Strided
from systolith.prune import DPP, LogitInit, MaskSet, PruneError
from systolith.prune.dpp.gumbel import draw_gumbel_noise, draw_top_k, relaxed_gradient
from tests.support.strategies import patterns_with_shapes


def _check(masks: MaskSet) -> None:
    """Unchecked masks pass every check."""
    MaskSet(dict(masks), masks.patterns)


class _Masked(nn.Module):
    """Records the weights of its layer in each forward pass."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(self.layer.weight.detach().clone())
        y: Tensor = self.layer(x)
        return y


@settings(deadline=None, max_examples=60)
@given(patterns_with_shapes(), st.sampled_from(LogitInit), st.integers(0, 2**20))
def test_masks_are_exact_at_every_step_for_every_pattern(
    drawn: tuple[Pattern, tuple[int, int, int, int]], init: LogitInit, seed: int
) -> None:
    pattern, (filters, channels, kh, kw) = drawn
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _Masked(nn.Conv2d(channels, filters, (kh, kw), bias=False))
        images = torch.rand(2, channels, kh, kw)
    dense = model.layer.weight.detach().clone()
    dpp = DPP(model, {"layer": pattern}, init=init, noise=1.0, seed=seed)
    for progress in (0.0, 0.5, 0.79, 0.9):
        with dpp.step(model, progress):
            model(images).square().sum().backward()
        mask = model.seen[-1] != 0
        _check(MaskSet({"layer.weight": mask}, {"layer.weight": pattern}))
        assert torch.equal(model.seen[-1], dense * mask)
        assert torch.equal(model.layer.weight, dense), "dense weights are back"
        assert bool((model.layer.weight.grad[~mask] == 0).all())
    _check(dpp.masks(model))


def _decision(
    select: KOutOfN | PerNeuron, shape: tuple[int, int, int, int], place: tuple[int, int, int, int]
) -> tuple[int, int]:
    """Return row and column of the decision on a weight, by the definition of patterns."""
    _, channels, kh, kw = shape
    filter_, channel, y, x = place
    team, tap = filter_ // select.shared_by, y * kw + x
    if isinstance(select, PerNeuron):
        return team, channel * kh * kw + tap
    group = team * (channels // select.n) + channel // select.n
    if select.granularity is Granularity.WEIGHT:
        group = group * kh * kw + tap
    return group, channel % select.n


@settings(deadline=None, max_examples=100)
@given(patterns_with_shapes(), st.integers(0, 2**20))
def test_every_weight_tells_its_own_decision(
    drawn: tuple[Pattern, tuple[int, int, int, int]], seed: int
) -> None:
    """The gradient at each weight, times the weight, reaches the right logit and no other."""
    pattern, shape = drawn
    assume(not isinstance(pattern.select, Dense))
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(shape[1], shape[0], shape[2:], bias=False))
    weight, target = torch.randn(2, *shape, generator=generator).unbind()
    with torch.no_grad():
        model[0].weight.copy_(weight)
    dpp = DPP(model, {"0": pattern}, noise=0.5, entropy=0.0, seed=seed)
    (logits,) = dpp.logits().values()
    initial = logits.detach().clone()
    with dpp.step(model, 0.4):
        mask = model[0].weight.detach() != 0
        (model[0].weight * target).sum().backward()
    assert torch.equal(model[0].weight.grad, target * mask)
    read = torch.from_numpy(pattern.tap_mask(shape)).expand(shape)
    at_mask, kept = torch.zeros_like(logits), torch.zeros_like(logits)
    exists = torch.zeros_like(logits, dtype=torch.bool)
    for place in product(*map(range, shape)):
        if read[place]:
            decision = _decision(pattern.select, shape, place)
            at_mask[decision] += weight[place] * target[place]
            kept[decision] = float(mask[place])
            exists[decision] = True
    alive = exists.any(1)
    assert torch.equal(kept[alive].sum(1), torch.full((int(alive.sum()),), pattern.select.k * 1.0))
    generator = torch.Generator().manual_seed(seed)
    start = 0.5 * torch.randn(logits.shape, generator=generator)
    assert torch.equal(start, initial)
    noisy = start + 0.5 * draw_gumbel_noise(start, generator)
    noisy = noisy.masked_fill(~exists, -1e30)
    order = draw_top_k(noisy, pattern.select.k)
    assert torch.equal(torch.zeros_like(kept).scatter(1, order, 1.0)[alive], kept[alive])
    wanted = relaxed_gradient(noisy, order, at_mask, 2.75)
    assert torch.allclose(logits.grad[alive], wanted[alive], atol=1e-6)
    assert not logits.grad[~exists].any()


class _Root(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs, bias=bias)


def _linear_step(dpp: DPP, model: _Root, target: Tensor, progress: float = 0.0) -> None:
    model.zero_grad()
    with dpp.step(model, progress):
        (model.fc(torch.eye(model.fc.in_features)).T * target).sum().backward()


def test_logits_get_the_gradient_at_the_mask_through_the_relaxation() -> None:
    torch.manual_seed(0)
    model = _Root(6, 4)
    target = torch.randn(4, 6)
    dpp = DPP(model, {"fc": Pattern(select=KOutOfN(1, 3))}, noise=0.0, entropy=0.0, seed=1)
    (logits,) = dpp.logits().values()
    rows = logits.detach().clone()
    _linear_step(dpp, model, target, progress=0.4)
    # The loss is sum(mask * W * target), so its gradient at the mask is W * target.
    at_mask = (model.fc.weight.detach() * target).reshape(8, 3)
    # Halfway from temperature 5 to 0.5, as drawing ends at 0.8.
    wanted = relaxed_gradient(rows, rows.argmax(1, keepdim=True), at_mask, 2.75)
    assert logits.shape == (8, 3) and torch.allclose(logits.grad, wanted, atol=1e-6)
    mask = F.one_hot(rows.argmax(1), 3).reshape(4, 6)
    assert torch.allclose(model.fc.weight.grad, target * mask)


@pytest.mark.parametrize(
    ("layer", "granularity", "noise", "entropy"),
    [
        (nn.Linear(64, 8), Granularity.WEIGHT, 0.1, 5e-5),
        (nn.Conv2d(64, 8, 1), Granularity.WEIGHT, 0.01, 5e-5),
        (nn.Conv2d(64, 8, 3), Granularity.KERNEL, 0.01, 1e-5),
    ],
)
def test_noise_and_entropy_are_the_papers(
    layer: nn.Linear | nn.Conv2d, granularity: Granularity, noise: float, entropy: float
) -> None:
    model = nn.Sequential(layer)
    dpp = DPP(model, {"0": Pattern(select=KOutOfN(2, 16, granularity))}, seed=2)
    (logits,) = dpp.logits().values()
    generator = torch.Generator().manual_seed(2)
    start = (0.5 * torch.randn(logits.shape, generator=generator)).requires_grad_()
    noisy = start.detach() + noise * draw_gumbel_noise(logits.detach(), generator)
    wanted = torch.zeros_like(noisy).scatter(1, draw_top_k(noisy, 2), 1.0)
    with dpp.step(model, 0.0):
        mask = layer.weight.detach().flatten(2).sum(2) if layer.weight.ndim == 4 else layer.weight
        assert torch.equal(mask.reshape(logits.shape) != 0, wanted.bool())
        (0 * layer.weight).sum().backward()
    p = start.softmax(1)
    (-entropy * (p * p.log()).sum()).backward()
    assert torch.allclose(logits.grad, start.grad, rtol=1e-4, atol=1e-10)


def test_entropy_is_part_of_the_loss_of_logits() -> None:
    torch.manual_seed(0)
    model = _Root(6, 2)
    dpp = DPP(model, {"fc": Pattern(select=PerNeuron(2))}, entropy=0.3, seed=1)
    (logits,) = dpp.logits().values()
    leaf = logits.detach().clone().requires_grad_()
    _linear_step(dpp, model, torch.zeros(2, 6))
    p = leaf.softmax(1)
    (-0.3 * (p * p.log()).sum()).backward()
    assert torch.allclose(logits.grad, leaf.grad, atol=1e-6)


def test_learns_which_inputs_matter() -> None:
    """Labels depend on inputs 1 and 6 only: training keeps them, whatever the initial logits."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(256, 8, generator=generator)
    labels = (images[:, 1] + images[:, 6] > 0).long()
    root = _Root(8, 2, bias=True)
    dpp = DPP(root, {"fc": Pattern(select=KOutOfN(1, 4, shared_by=2))}, noise=1.0, seed=3)
    optimizer = torch.optim.Adam(root.parameters(), lr=0.05)
    for step in range(200):
        optimizer.zero_grad()
        with dpp.step(root, step / 200):
            F.cross_entropy(root.fc(images), labels).backward()
        optimizer.step()
    assert dpp.masks(root)["fc.weight"].nonzero()[:, 1].tolist() == [1, 6, 1, 6]
    assert dpp.statistics()["fc"].confidence > 0.3


def test_the_noise_scale_decides_how_much_masks_vary() -> None:
    root = _Root(64, 8)
    different = []
    for noise in (0.0, 5.0):
        dpp = DPP(root, {"fc": Pattern(select=KOutOfN(1, 4))}, noise=noise, travel=1e-6)
        kept = []
        for _ in range(2):
            with dpp.step(root, 0.0):
                kept.append(root.fc.weight.detach() != 0)
                root.fc(torch.ones(1, 64)).sum().backward()
        different.append(not torch.equal(*kept))
    assert different == [False, True]


def test_magnitude_start_keeps_the_greatest_weights() -> None:
    root = _Root(8, 4)
    dpp = DPP(root, {"fc": Pattern(select=KOutOfN(2, 4))}, init=LogitInit.MAGNITUDE, seed=0)
    (logits,) = dpp.logits().values()
    assert float(logits.detach().mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(logits.detach().std(correction=0)) == pytest.approx(0.5)
    groups = root.fc.weight.detach().abs().reshape(8, 4)
    wanted = torch.zeros(8, 4).scatter_(1, groups.topk(2).indices, 1.0).bool().reshape(4, 8)
    assert torch.equal(dpp.masks(root)["fc.weight"], wanted)


def test_a_state_goes_on_with_identical_masks() -> None:
    root = _Root(16, 4)
    patterns = {"fc": Pattern(select=KOutOfN(1, 4))}

    def draw(dpp: DPP) -> Tensor:
        with dpp.step(root, 0.1):
            mask = root.fc.weight.detach() != 0
            root.fc(torch.ones(1, 16)).sum().backward()
        return mask

    first = DPP(root, patterns, noise=3.0, seed=0)
    draw(first)
    second = DPP(root, patterns, noise=3.0, seed=5)
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        assert torch.equal(draw(first), draw(second))


def test_masks_are_transposed_not_reshaped() -> None:
    """For F != C, reshaping a mask breaks its pattern; here each filter favours one channel."""
    conv = nn.Conv2d(8, 3, 3, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[:, [2, 5]] = 1.0
    root = nn.Sequential(conv)
    for granularity in Granularity:
        pattern = Pattern(select=KOutOfN(1, 4, granularity))
        mask = DPP(root, {"0": pattern}, init=LogitInit.MAGNITUDE).masks(root)["0.weight"]
        assert mask.all(dim=(0, 2, 3)).nonzero().flatten().tolist() == [2, 5]
        assert int(mask.sum()) == 2 * 3 * 9


def test_strided_taps_and_kernels_together() -> None:
    pattern = Pattern(select=KOutOfN(1, 2, Granularity.KERNEL), taps=Strided(3, (0, 0, 1, 1)))
    conv = nn.Conv2d(4, 6, 3)
    mask = DPP(nn.Sequential(conv), {"0": pattern}).masks(nn.Sequential(conv))["0.weight"]
    assert mask.sum(dim=(1, 2, 3)).tolist() == [2 * 3] * 6


def test_statistics_leave_out_taps_that_are_not_read() -> None:
    """Rows at kept taps are certain of the first of two; rows at dropped taps are uniform."""
    patterns = {
        "0": Pattern(select=KOutOfN(1, 2), taps=Strided(3, (0, 0, 1, 1))),
        "1": Pattern(select=PerNeuron(4), taps=Strided(3, (0, 1, 2))),
    }
    model = nn.Sequential(nn.Conv2d(4, 3, 3), nn.Conv2d(3, 2, 3))
    dpp = DPP(model, patterns)
    groups, neurons = dpp.logits().values()
    with torch.no_grad():
        groups.zero_()
        read = torch.from_numpy(patterns["0"].tap_mask((3, 4, 3, 3)))[::2].reshape(1, 2, 9)
        groups.reshape(3, 2, 9, 2)[..., 0] = 100.0 * read
        neurons.zero_()
    statistics = dpp.statistics()
    assert (statistics["0"].confidence, statistics["0"].diversity) == pytest.approx((1.0, 0.0))
    # Each neuron keeps 4 of 9 weights and prefers none.
    assert (statistics["1"].confidence, statistics["1"].diversity) == pytest.approx(
        (0.0, 0.0), abs=1e-6
    )


def test_temperature_falls_while_masks_are_drawn_and_logits_rest_afterwards() -> None:
    model, target = _Root(6, 4), torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    dpp = DPP(
        model,
        {"fc": Pattern(select=KOutOfN(1, 3))},
        noise=0.0,
        entropy=0.0,
        temperature=(4.0, 1.0),
        draw_until=0.5,
    )
    (logits,) = dpp.logits().values()
    at_mask = (model.fc.weight.detach() * target).reshape(8, 3)
    for progress, temperature in ((0.0, 4.0), (0.25, 2.5), (0.45, 1.3)):
        rows = logits.detach().clone()
        chosen = rows.argmax(1, keepdim=True)
        _linear_step(dpp, model, target, progress)
        wanted = relaxed_gradient(rows, chosen, at_mask, temperature)
        assert torch.allclose(logits.grad, wanted, atol=1e-6)
    rows = logits.detach().clone()
    _linear_step(dpp, model, target, 0.5)
    assert logits.grad is None and torch.equal(logits, rows)


def test_frozen_weights_keep_their_greatest_and_are_not_drawn() -> None:
    model = nn.Sequential(nn.Conv2d(8, 4, 1, bias=False), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[torch.arange(4), torch.tensor([1, 3, 4, 6])] = -1.0
    model[0].weight.requires_grad_(False)
    pattern = Pattern(select=KOutOfN(1, 4))
    dpp = DPP(model, {"0": pattern, "1": pattern}, noise=10.0, seed=0)
    assert list(dpp.logits()) == ["1"]
    with dpp.step(model, 0.0):
        assert int((model[0].weight != 0).sum()) == 4
        model(torch.ones(1, 8, 1, 1)).sum().backward()
    mask = dpp.masks(model)["0.weight"]
    assert bool(mask[torch.arange(4), torch.tensor([1, 3, 4, 6])].all())


def test_refuses_what_does_not_fit_all_at_once() -> None:
    message = (
        "noise must be at least 0, got -1; temperature must be positive, got (0, 1); "
        "draw_until must lie in 0..1, got 2; travel must be positive and finite, got 0"
    )
    model = nn.Sequential(nn.Linear(4, 2))
    with pytest.raises(PruneError) as caught:
        DPP(model, {}, noise=-1, temperature=(0, 1), draw_until=2, travel=0)
    assert list(caught.value.problems) == message.split("; ")
    with pytest.raises(PruneError, match=re.escape("needs in_features divisible by 3")):
        DPP(model, {"0": Pattern(select=KOutOfN(1, 3))})
