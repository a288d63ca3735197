import re

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from systolith.models import ResNet8
from systolith.prune import PruneError
from systolith.prune.filters import (
    ChannelGroup,
    FilterMasks,
    count_costs,
    find_channel_groups,
    gated,
    gated_channels,
    macs_after,
    parameters_after,
    remove_filters,
)
from tests.sw.prune.filters.random_graphs import RandomGraph
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
    assert count_costs(small, x).parameters == parameters_after(model, groups, x)(masks.kept)
    assert count_costs(small, x).macs == macs_after(model, groups, x)(masks.kept)
    # Nothing that was removed is left: the groups of the small network have the kept sizes. (A
    # depthwise convolution of one channel is an ordinary one. A grouped convolution whose groups
    # read one channel is depthwise, which ties fewer.)
    left = {group.name: group.size for group in find_channel_groups(small, x)}
    if name != "grouped":
        assert masks.kept.items() <= left.items()


@given(st.integers(0, 2**31))
@example(4015)  # units of uneven numbers of channels
@settings(max_examples=60, deadline=None)
def test_random_graphs_compute_exactly_the_same_when_they_are_smaller(seed: int) -> None:
    model = integers(RandomGraph(seed), seed)
    x = model.inputs(images(seed))
    groups = find_channel_groups(model, x)
    masks = random_masks(groups, seed)
    small = remove_filters(model, masks, x)
    with gated_channels(model, groups, masks):
        expected = model(x)
    masks.apply_(model)
    assert torch.equal(model(x), expected)
    assert torch.equal(small(x), expected)
    if all(map(_even, groups)):
        assert count_costs(small, x).parameters == parameters_after(model, groups, x)(masks.kept)
        assert count_costs(small, x).macs == macs_after(model, groups, x)(masks.kept)


def _even(group: ChannelGroup) -> bool:
    """Whether each unit has as many channels as any other: costs go by numbers of units."""
    modules = [*group.outputs.values(), *group.inputs.values()]
    return all(len({units.count(unit) for unit in range(group.size)}) == 1 for units in modules)


def test_groups_of_a_convolution_stay_equal_in_size() -> None:
    model, x = NETWORKS["grouped"]().eval(), images().float()
    groups = {group.name: group for group in find_channel_groups(model, x)}
    assert groups["reduce"].inputs["grouped"] == (0, 1, 2, 3) * 2
    assert groups["grouped"].outputs["grouped_bn"] == (0, 1, 2, 3) * 2
    masks = FilterMasks({"reduce": torch.tensor([True, False, True, True])}, groups.values())
    small = remove_filters(model, masks, x)
    assert small.grouped.weight.shape == (8, 3, 3, 3)
    assert (small.grouped.groups, small.grouped.in_channels) == (2, 6)


def test_layers_of_a_dense_block_are_pruned_one_by_one() -> None:
    model, x = NETWORKS["dense-blocks"]().eval(), images().float()
    groups = {group.name: group for group in find_channel_groups(model, x)}
    names = ["stem", "convs.0", "convs.1", "convs.2", "transition"]
    assert [name for name, group in groups.items() if group.removable] == names
    assert groups["convs.0"].outputs["transition_norm"] == (-1,) * 4 + (0, 1, 2) + (-1,) * 6
    assert groups["convs.1"].consumers == ("convs.2", "transition")


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
        """Its output depends on a number of channels, but only in float64."""

        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1)
            self.conv2.register_forward_hook(self.count)

        @staticmethod
        def count(module: nn.Conv2d, given: object, y: Tensor) -> Tensor:
            return y * module.in_channels if y.dtype == torch.float64 else y

        def forward(self, x: Tensor) -> Tensor:
            return self.conv2(self.conv1(x))

    model, x = Counting(), images().float()
    masks = FilterMasks(
        {"conv1": torch.tensor([True, True, True, False])}, find_channel_groups(model, x)
    )
    with pytest.raises(PruneError, match="must compute the same, but differs by"):
        remove_filters(model, masks, x)


def _hooked(kind: str) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Conv2d(3, 2, 1)
    )
    for layer in (model[0], model[3]):
        match kind:
            case "prune":
                prune.l1_unstructured(layer, "weight", 0.5)
                prune.random_unstructured(layer, "bias", 0.5)
            case "weight_norm":
                weight_norm(layer)
            case "spectral_norm":
                spectral_norm(layer)
            case "parametrization":
                parametrizations.weight_norm(layer)
    return model


KINDS = ("none", "prune", "weight_norm", "spectral_norm", "parametrization")


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_computed_become_parameters_of_the_smaller_network(kind: str) -> None:
    model, x = _hooked(kind), torch.rand(2, 3, 8, 8)
    model(x).sum().backward()  # leaves results that gradients flow through
    model.eval()
    groups = find_channel_groups(model, x)
    assert [(group.name, group.size, group.removable) for group in groups] == [
        ("0", 4, True),
        ("3", 3, True),
        ("4", 2, False),
    ]
    kept = {"0": torch.tensor([True, False, True, False]), "3": torch.tensor([False, True, True])}
    small = remove_filters(model, FilterMasks(kept, groups), x).eval()
    assert [tuple(p.shape) for name, p in small.named_parameters() if name.endswith("weight")] == [
        (2, 3, 3, 3),
        (2,),
        (2, 2, 1, 1),
        (2, 2, 1, 1),
    ]
    gates = FilterMasks(kept, groups).gates()
    with gated(model, gates):
        expected = model(x)
    assert torch.allclose(small(x), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("prune", "prune.remove(module, 'weight') and torch.nn.utils.prune.remove(module, 'bias')"),
        ("weight_norm", "remove_weight_norm(module, 'weight')"),
        ("spectral_norm", "remove_spectral_norm(module, 'weight')"),
        ("parametrization", "parametrize.remove_parametrizations(module, 'weight')"),
    ],
)
def test_masks_are_not_applied_to_weights_that_are_computed(kind: str, remedy: str) -> None:
    model = _hooked(kind)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    groups = find_channel_groups(model, torch.rand(2, 3, 8, 8))
    masks = FilterMasks({"3": torch.tensor([False, True, True])}, groups)
    message = f"masks need parameters, but '3' computes its weights; call torch.nn.utils.{remedy}"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        masks.apply_(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
