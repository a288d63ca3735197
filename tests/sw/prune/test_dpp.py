"""Drawn masks are exact, logits learn what the gradient at the mask says, and states resume."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron, Strided
from systolith.prune import DPP, LogitInit, MaskSet, PruneError
from systolith.prune.gumbel import relaxed_gradient
from tests.sw.prune.test_topk import patterns_with_shapes


def _check(masks: MaskSet) -> None:
    """Masks that were trusted pass every check."""
    MaskSet(dict(masks), masks.patterns)


class _Masked(nn.Module):
    """Remembers the weights that its layer had in each forward pass."""

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


def _linear_step(dpp: DPP, model: nn.Linear, target: Tensor, progress: float = 0.0) -> None:
    for parameter in (*model.parameters(), *dpp.parameters()):
        parameter.grad = None
    with dpp.step(model_root(model), progress):
        (model(torch.eye(model.in_features)).T * target).sum().backward()


def model_root(layer: nn.Linear) -> nn.Module:
    root: nn.Module = ROOTS.setdefault(id(layer), nn.Module())
    if not hasattr(root, "fc"):
        root.fc = layer
    return root


ROOTS: dict[int, nn.Module] = {}


def test_logits_get_the_gradient_at_the_mask_through_the_relaxation() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4, bias=False)
    target = torch.randn(4, 6)
    dpp = DPP(
        model_root(layer), {"fc": Pattern(select=KOutOfN(1, 3))}, noise=0.0, entropy=0.0, seed=1
    )
    (logits,) = dpp.parameters()
    _linear_step(dpp, layer, target, progress=0.4)
    # The loss is sum(mask * W * target), so its gradient at the mask is W * target.
    at_mask = (layer.weight.detach() * target).reshape(8, 3)
    rows = logits.detach()
    # Half of the way from temperature 5 to 0.5, as drawing goes on until 0.8.
    wanted = relaxed_gradient(rows, rows.argmax(1, keepdim=True), at_mask, 2.75)
    assert logits.shape == (8, 3) and torch.allclose(logits.grad, wanted, atol=1e-6)
    mask = F.one_hot(rows.argmax(1), 3).reshape(4, 6)
    assert torch.allclose(layer.weight.grad, target * mask)


def test_entropy_is_part_of_the_loss_of_logits() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 2, bias=False)
    dpp = DPP(model_root(layer), {"fc": Pattern(select=PerNeuron(2))}, entropy=0.3, seed=1)
    (logits,) = dpp.parameters()
    _linear_step(dpp, layer, torch.zeros(2, 6))
    leaf = logits.detach().clone().requires_grad_()
    p = leaf.softmax(1)
    (-0.3 * (p * p.log()).sum()).backward()
    assert torch.allclose(logits.grad, leaf.grad, atol=1e-6)


def test_learns_which_inputs_matter() -> None:
    """Only inputs 1 and 6 carry the label: training finds them, wherever the logits start."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(256, 8, generator=generator)
    labels = (images[:, 1] + images[:, 6] > 0).long()
    layer = nn.Linear(8, 2)
    root = model_root(layer)
    dpp = DPP(root, {"fc": Pattern(select=KOutOfN(1, 4, shared_by=2))}, noise=1.0, seed=3)
    optimizer = torch.optim.Adam([*layer.parameters(), *dpp.parameters()], lr=0.05)
    for step in range(200):
        optimizer.zero_grad()
        with dpp.step(root, step / 200):
            F.cross_entropy(layer(images), labels).backward()
        optimizer.step()
    assert dpp.masks(root)["fc.weight"].nonzero()[:, 1].tolist() == [1, 6, 1, 6]
    assert dpp.statistics()["fc"].confidence > 0.3


def test_the_noise_scale_decides_how_much_masks_vary() -> None:
    layer = nn.Linear(64, 8, bias=False)
    root = model_root(layer)
    different = []
    for noise in (0.0, 5.0):
        dpp = DPP(root, {"fc": Pattern(select=KOutOfN(1, 4))}, noise=noise, seed=0)
        kept = []
        for _ in range(2):
            with dpp.step(root, 0.0):
                kept.append(layer.weight.detach() != 0)
                layer(torch.ones(1, 64)).sum().backward()
        different.append(not torch.equal(*kept))
    assert different == [False, True]


def test_magnitude_start_keeps_the_greatest_weights() -> None:
    layer = nn.Linear(8, 4, bias=False)
    dpp = DPP(
        model_root(layer), {"fc": Pattern(select=KOutOfN(2, 4))}, init=LogitInit.MAGNITUDE, seed=0
    )
    groups = layer.weight.detach().abs().reshape(8, 4)
    wanted = torch.zeros(8, 4).scatter_(1, groups.topk(2).indices, 1.0).bool().reshape(4, 8)
    assert torch.equal(dpp.masks(model_root(layer))["fc.weight"], wanted)


def test_a_state_goes_on_with_identical_masks() -> None:
    layer = nn.Linear(16, 4, bias=False)
    root = model_root(layer)
    patterns = {"fc": Pattern(select=KOutOfN(1, 4))}

    def draw(dpp: DPP) -> Tensor:
        with dpp.step(root, 0.1):
            mask = layer.weight.detach() != 0
            layer(torch.ones(1, 16)).sum().backward()
        return mask

    first = DPP(root, patterns, noise=3.0, seed=0)
    draw(first)
    second = DPP(root, patterns, noise=3.0, seed=5)
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        assert torch.equal(draw(first), draw(second))


def test_masks_are_transposed_not_reshaped() -> None:
    """With F != C a reshaped mask breaks its pattern; this one favours a single channel each."""
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


def test_refuses_what_does_not_fit_all_at_once() -> None:
    message = (
        "noise must be at least 0, got -1; temperature must be positive, got (0, 1); "
        "draw_until must lie in 0..1, got 2"
    )
    model = nn.Sequential(nn.Linear(4, 2))
    with pytest.raises(PruneError) as caught:
        DPP(model, {}, noise=-1, temperature=(0, 1), draw_until=2)
    assert list(caught.value.problems) == message.split("; ")
    with pytest.raises(PruneError, match=re.escape("needs in_features divisible by 3")):
        DPP(model, {"0": Pattern(select=KOutOfN(1, 3))})
