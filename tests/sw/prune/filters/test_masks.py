import re

import pytest
import torch
from torch import nn

from systolith.prune import PruneError
from systolith.prune.filters import FilterMasks, find_channel_groups, gated
from tests.sw.prune.filters.random_masks import random_masks
from tests.sw.prune.filters.small_models import NETWORKS, images, integers


@pytest.mark.parametrize("name", NETWORKS)
def test_silenced_filters_compute_what_gates_do(name: str) -> None:
    model = integers(NETWORKS[name]())
    masks = random_masks(find_channel_groups(model, images()), seed=1)
    assert 0 < masks.density < 1
    dense = model(images())
    with gated(model, masks.gates()):
        expected = model(images())
    masks.apply_(model)
    assert torch.equal(model(images()), expected)
    assert not torch.equal(dense, expected)


def test_zeroes_the_removed_and_nothing_else() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    groups = find_channel_groups(model, torch.zeros(1, 1, 2, 2))
    masks = FilterMasks({"0": torch.tensor([False, True])}, groups)
    masks.apply_(model)
    changed = ("0.weight", "0.bias", "1.weight", "1.bias")
    for name, value in model.state_dict().items():
        if name in changed:
            assert not value[0].any()
            assert torch.equal(value[1], before[name][1])
        else:
            assert torch.equal(value, before[name])
    assert (masks.kept, masks.density, len(masks), list(masks)) == ({"0": 1}, 0.5, 1, ["0"])
    assert FilterMasks({}, groups).density == 1.0


def test_masks_do_not_change_with_the_tensors_they_were_made_of() -> None:
    groups = find_channel_groups(NETWORKS["chain"](), images().float())
    mask = torch.ones(5, dtype=torch.bool)
    masks = FilterMasks({"0": mask}, groups)
    mask[0] = False
    assert masks["0"].all()


def test_refuses_masks_that_do_not_fit() -> None:
    groups = find_channel_groups(NETWORKS["chain"](), images().float())
    message = (
        "4 problems:\n  - masks must name a group of 0, 4, 9, 12, got 'x'"
        "\n  - group '12' cannot be masked: it is an output of the network"
        "\n  - mask of group '0' must be bool of shape (5,), got torch.float32 of shape (5,)"
        "\n  - mask of group '4' must keep at least 1 of 4, keeps 0"
    )
    masks = {
        "x": torch.ones(1, dtype=torch.bool),
        "12": torch.ones(3, dtype=torch.bool),
        "0": torch.ones(5),
        "4": torch.zeros(4, dtype=torch.bool),
    }
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        FilterMasks(masks, groups)


def test_refuses_another_model_and_leaves_it_alone() -> None:
    masks = random_masks(find_channel_groups(NETWORKS["chain"](), images().float()), seed=0)
    other = nn.Sequential(nn.Conv2d(2, 5, 1), nn.BatchNorm2d(4))
    before = other[0].weight.clone()
    with pytest.raises(PruneError) as caught:
        masks.apply_(other)
    assert caught.value.problems[:2] == (
        "masks need a module '1' with 5 filters, got one with 4",
        "masks need a module '4' with 4 filters, got none",
    )
    assert torch.equal(other[0].weight, before)
