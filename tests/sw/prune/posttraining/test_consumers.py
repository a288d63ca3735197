"""Layers behind removed filters take over what the filters gave."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from systolith.models import TinyResNet
from systolith.prune import (
    FilterBudget,
    FilterMasks,
    FilterScore,
    PruneError,
    find_channel_groups,
    remove_filters,
    score_filters,
    select_filters,
)
from systolith.prune.posttraining import reconstruct_consumers_, reconstruct_masked_consumers_

IMAGES = torch.rand(40, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def network(*, bias: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, bias=bias), nn.ReLU(), nn.Conv2d(6, 4, 3, bias=bias), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64, 5, bias=bias)),
    )


def without_half(model: nn.Module, given: Tensor) -> tuple[nn.Module, FilterMasks]:
    """Remove every second filter of all groups."""
    groups = find_channel_groups(model, given)
    chosen = {group.name: torch.arange(group.size) % 2 == 0 for group in groups if group.removable}
    masks = FilterMasks(chosen, groups)
    return remove_filters(model, masks, given), masks


def change(small: nn.Module, model: nn.Module) -> float:
    with torch.no_grad():
        return float((small(IMAGES) - model(IMAGES)).square().mean())


@pytest.mark.parametrize("bias", [False, True])
def test_filters_that_repeat_others_leave_without_a_change(bias: bool) -> None:
    model = network(bias=bias)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            for parameter in layer.parameters():
                parameter[1::2] = 2 * parameter[::2]
    small, masks = without_half(model, IMAGES)
    assert change(small, model) > 1e-3
    reconstruct_consumers_(small, model, masks, IMAGES, damping=1e-9)
    assert change(small, model) < 1e-8


def test_a_bias_takes_over_constant_outputs() -> None:
    model = network(bias=True)
    with torch.no_grad():
        model[0].weight[1::2] = 0
        model[0].bias[1::2] = 3.0
    groups = find_channel_groups(model, IMAGES)
    masks = FilterMasks({"0": torch.arange(6) % 2 == 0}, groups)
    small = remove_filters(model, masks, IMAGES)
    frozen = deepcopy(small)
    frozen[2].bias.requires_grad_(False)
    reconstruct_consumers_(small, model, masks, IMAGES, damping=1e-9)
    assert change(small, model) < 1e-8
    reconstruct_consumers_(frozen, model, masks, IMAGES)
    assert torch.equal(frozen[2].bias, model[2].bias)


def test_a_residual_network_comes_nearer_and_only_consumers_change() -> None:
    torch.manual_seed(0)
    model = TinyResNet().eval()
    given = torch.rand(40, *_input_shape(model), generator=torch.Generator().manual_seed(0))
    small, masks = without_half(model, given)
    before = deepcopy(small)
    reconstruct_consumers_(small, model, masks, given)
    consumers = {f"{name}.weight" for name in masks.input_masks()}
    changed = {
        name
        for name, parameter in small.named_parameters()
        if not torch.equal(parameter, before.get_parameter(name))
    }
    assert changed and changed <= consumers | {name.replace("weight", "bias") for name in consumers}
    with torch.no_grad():
        left, had = ((net(given) - model(given)).square().mean() for net in (small, before))
    assert left < had


def test_frozen_consumers_stay_and_damping_is_positive() -> None:
    model = network(bias=True)
    model[2].requires_grad_(False)
    small, masks = without_half(model, IMAGES)
    before = deepcopy(small)
    reconstruct_consumers_(small, model, masks, IMAGES)
    assert torch.equal(small[2].weight, before[2].weight)
    assert not torch.equal(small[5].weight, before[5].weight)
    with pytest.raises(PruneError, match=r"^reconstruction needs damping above 0 .*, got -1$"):
        reconstruct_consumers_(small, model, masks, IMAGES, damping=-1)
    with pytest.raises(PruneError, match=r"^reconstruction needs images, got none$"):
        reconstruct_consumers_(small, model, masks, IMAGES[:0])


def _input_shape(model: nn.Module) -> tuple[int, int, int]:
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    return first.in_channels, 8, 8


@pytest.mark.parametrize("residual", [False, True])
def test_reconstruction_in_the_whole_network_equals_that_of_the_smaller_one(residual: bool) -> None:
    """Also in a second round, whose outputs to reproduce are those after the first."""
    whole = TinyResNet(channels=2).eval() if residual else network(bias=True)
    groups = find_channel_groups(whole, IMAGES)
    scores = score_filters(whole, groups, FilterScore.L1)
    first, second = (select_filters(groups, scores, FilterBudget(keep=k)) for k in (0.8, 0.5))

    expected = remove_filters(whole, first, IMAGES)
    reconstruct_consumers_(expected, whole, first, IMAGES)
    reconstruct_masked_consumers_(whole, None, first, IMAGES)
    small = remove_filters(whole, first, IMAGES)
    assert all(torch.equal(v, small.state_dict()[n]) for n, v in expected.state_dict().items())

    reference = deepcopy(whole)
    first.apply_(reference)
    expected = second.shrink(reference)
    reconstruct_consumers_(expected, reference, second, IMAGES)
    reconstruct_masked_consumers_(whole, first, second, IMAGES)
    small = remove_filters(whole, second, IMAGES)
    assert all(torch.equal(v, small.state_dict()[n]) for n, v in expected.state_dict().items())
