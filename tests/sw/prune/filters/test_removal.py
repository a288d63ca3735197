import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from systolith.models import ResNet8
from systolith.prune import PruneError
from systolith.prune.filters import (
    FilterMasks,
    count,
    find_channel_groups,
    macs_after,
    parameters_after,
    remove_filters,
)
from tests.sw.prune.filters.random_masks import random_masks
from tests.sw.prune.filters.small_models import NETWORKS, images, integers


@given(st.sampled_from(sorted(NETWORKS)), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_smaller_network_computes_exactly_what_the_masked_one_does(
    name: str, seed: int
) -> None:
    model, x = integers(NETWORKS[name](), seed), images(seed)
    groups = find_channel_groups(model, x)
    masks = random_masks(groups, seed)
    small = remove_filters(model, masks, x)
    masks.apply_(model)
    assert torch.equal(small(x), model(x))
    assert count(small, x).parameters == parameters_after(model, groups, x)(masks.kept)
    assert count(small, x).macs == macs_after(model, groups, x)(masks.kept)
    # Nothing that was removed is left: the groups of the small network have the kept sizes. (A
    # depthwise convolution of one channel is an ordinary one.)
    left = {group.name: group.size for group in find_channel_groups(small, x)}
    assert masks.kept.items() <= left.items()


def test_a_float_network_computes_the_same_up_to_the_order_of_sums() -> None:
    torch.manual_seed(0)
    model, x = ResNet8().double().eval(), torch.randn(2, 3, 32, 32).double()
    masks = random_masks(find_channel_groups(model, x), seed=3)
    small = remove_filters(model, masks, x)
    masks.apply_(model)
    # Convolutions with fewer channels may add in another order, which rounds differently.
    assert torch.allclose(small(x), model(x), rtol=1e-12, atol=1e-14)


def test_a_smaller_network_trains_and_says_its_sizes() -> None:
    model, x = NETWORKS["separable"](), images().float()
    small = remove_filters(model, random_masks(find_channel_groups(model, x), seed=0), x)
    small.train()(x).sum().backward()
    for module in small.modules():
        if isinstance(module, nn.Conv2d):
            per_group = module.in_channels // module.groups
            assert module.weight.shape[:2] == (module.out_channels, per_group)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.num_features == len(module.weight) == len(module.running_var)
    assert all(parameter.grad is not None for parameter in small.parameters())


def test_keeping_everything_changes_nothing() -> None:
    model, x = NETWORKS["residual"]().eval(), images().float()
    model.stem.weight.requires_grad_(False)
    groups = find_channel_groups(model, x)
    everything = {g.name: torch.ones(g.size, dtype=torch.bool) for g in groups if g.removable}
    same = remove_filters(model, FilterMasks(everything, groups), x)
    assert {n: v.tolist() for n, v in same.state_dict().items()} == {
        n: v.tolist() for n, v in model.state_dict().items()
    }
    assert not same.stem.weight.requires_grad
    assert same.stem.weight is not model.stem.weight


def test_refuses_masks_of_another_model() -> None:
    x = images().float()
    masks = random_masks(find_channel_groups(NETWORKS["option-a"](), x), seed=0)
    message = (
        "2 problems:\n  - masks must be made for this model, but its group 'stem' is another"
        "\n  - masks must be made for this model, but its group 'conv1' is another"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        remove_filters(NETWORKS["shared"](), masks, x)


def test_refuses_a_network_that_computes_something_else_when_it_is_small() -> None:
    class Counting(nn.Module):
        """Its output depends on a number of channels by a way that no graph shows."""

        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1)
            self.conv2.register_forward_hook(lambda module, _, y: y * module.in_channels)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv2(self.conv1(x))

    model, x = Counting(), images().float()
    masks = FilterMasks(
        {"conv1": torch.tensor([True, True, True, False])}, find_channel_groups(model, x)
    )
    with pytest.raises(PruneError, match="must compute the same, but differs by"):
        remove_filters(model, masks, x)
