"""What all filter sparsifiers promise."""

import io
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from systolith.prune.filters import (
    GDP,
    FilterBudget,
    FilterSparsifier,
    FrozenFilters,
    TaylorGates,
    find_channel_groups,
    gated,
)
from tests.sw.prune.filters.random_masks import random_masks
from tests.sw.prune.filters.training import IMAGES, batch, network, optimizer_of, train


def test_frozen_filters_neither_count_nor_learn() -> None:
    model = network()
    masks = random_masks(find_channel_groups(model, IMAGES), seed=0)
    frozen = FrozenFilters(masks)
    before = {name: value.clone() for name, value in model.named_parameters()}
    assert len(list(train(model, frozen, optimizer_of(model), last=3))) == 3
    assert isinstance(frozen, FilterSparsifier) and frozen.filters(model) is masks
    assert frozen.state_dict() == {}
    for group, layer in (("0", "0"), ("0", "1"), ("3", "3")):
        changed = model.get_submodule(layer).weight - before[f"{layer}.weight"]
        assert torch.equal(
            changed.flatten(1).any(1) if changed.ndim > 1 else changed != 0, masks[group]
        )
    model.eval()
    images, _ = batch(0)
    with gated(model, masks.gates()):
        expected = model(images)
    with frozen.step(model, 0.0):
        assert torch.equal(model(images), expected)


GROUPS = find_channel_groups(network(), IMAGES)
HALF = FilterBudget(keep=0.5)


@pytest.mark.parametrize(
    ("make", "stops"),
    [
        (
            lambda: GDP(GROUPS, HALF, interval=3, begin=0.1, ramp_until=0.4, freeze_at=0.7),
            (2, 11, 35),
        ),
        (lambda: TaylorGates(GROUPS, HALF, batches=3, per_round=1, begin=0.1), (2, 14, 39)),
    ],
    ids=["GDP", "Taylor"],
)
def test_an_interrupted_run_ends_the_same(
    make: Callable[[], FilterSparsifier], stops: tuple[int, ...]
) -> None:
    def start() -> tuple[nn.Module, FilterSparsifier, torch.optim.Optimizer]:
        model = network()
        return model, make(), optimizer_of(model)

    model, sparsifier, optimizer = start()
    list(train(model, sparsifier, optimizer))
    for stop in stops:
        states, saved = start(), io.BytesIO()
        list(train(*states, last=stop))
        torch.save([part.state_dict() for part in states], saved)
        saved.seek(0)
        again = start()
        for part, state in zip(again, torch.load(saved, weights_only=True), strict=True):
            part.load_state_dict(state)
        list(train(*again, first=stop))
        for name, mask in sparsifier.filters(model).items():
            assert torch.equal(mask, again[1].filters(again[0])[name])
        for name, value in model.state_dict().items():
            assert torch.equal(value, again[0].state_dict()[name])


@pytest.mark.parametrize(
    ("make", "steps", "progress"),
    [
        (lambda: GDP(GROUPS, HALF, interval=2, begin=0.0, freeze_at=0.5), 30, 0.9),
        (lambda: TaylorGates(GROUPS, HALF, batches=1, per_round=3), 2, 0.1),
    ],
    ids=["GDP", "Taylor"],
)
def test_removed_filters_do_not_learn(
    make: Callable[[], GDP | TaylorGates], steps: int, progress: float
) -> None:
    model, sparsifier = network(), make()
    list(train(model, sparsifier, optimizer_of(model), last=steps))
    model.zero_grad()
    images, labels = batch(0)
    with sparsifier.step(model, progress):
        F.cross_entropy(model(images), labels).backward()
    assert sparsifier._masks is not None
    for name, layer in (("0", "1"), ("3", "3")):
        kept, gradient = sparsifier._masks[name], model.get_submodule(layer).weight.grad
        assert not gradient[~kept].any()
        assert gradient[kept].any()
    assert not all(kept.all() for kept in sparsifier._masks.values())
