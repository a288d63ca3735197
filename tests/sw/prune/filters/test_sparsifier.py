import torch

from systolith.prune.filters import FilterSparsifier, FrozenFilters, find_channel_groups, gated
from tests.sw.prune.filters.random_masks import random_masks
from tests.sw.prune.filters.training import IMAGES, batch, network, optimizer_of, train


def test_frozen_filters_neither_count_nor_learn() -> None:
    model = network()
    masks = random_masks(find_channel_groups(model, IMAGES), seed=0)
    frozen = FrozenFilters(masks)
    before = {name: value.clone() for name, value in model.named_parameters()}
    assert len(list(train(model, frozen, optimizer_of(model), last=3))) == 3
    assert isinstance(frozen, FilterSparsifier) and frozen.filters(model) is masks
    assert frozen.parameters() == [] and frozen.state_dict() == {}
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
