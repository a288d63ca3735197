import re

import pytest
import torch
from torch import Tensor, nn

from systolith.prune import PruneError
from systolith.prune.filters import (
    find_channel_groups,
    gated,
    gated_channels,
    module_gates,
    straight_through,
)
from systolith.prune.filters.saliency import GateGradients
from tests.sw.prune.filters.random_masks import random_masks
from tests.sw.prune.filters.small_models import IMAGES, NETWORKS


def _model(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model, x = NETWORKS[name]().double(), torch.randn(IMAGES).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model, x


def _loss(model: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(1)  # dropout draws the same in each pass
    return (model(x) - 1).square().mean()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_derivatives_that_autograd_finds(name: str, masked: bool) -> None:
    model, x = _model(name)
    if name == "residual":  # a fixed shortcut has no gradients of its own
        model.shortcut.weight.requires_grad_(False)
    if name == "shared":  # nor has this, which is called twice
        model.conv.weight.requires_grad_(False)
    groups = find_channel_groups(model, x)
    reader = GateGradients(model, groups)
    assert reader.watched == {"residual": ("shortcut",), "shared": ("conv",)}.get(name, ())
    masks = random_masks(groups, seed=1)
    gates = {name: torch.ones(len(mask)).double().requires_grad_() for name, mask in masks.items()}
    hidden = masks if masked else {}
    with gated(model, module_gates(groups, gates)), straight_through(model, groups, hidden):
        expected = torch.autograd.grad(_loss(model, x), list(gates.values()))

    with straight_through(model, groups, hidden), reader.watching():
        _loss(model, x).backward()
    derivatives = reader.split(reader.read())
    assert list(derivatives) == list(gates)
    for name, gradient in zip(derivatives, expected, strict=True):
        assert torch.allclose(derivatives[name], gradient, rtol=1e-9, atol=1e-12)
        if masked and not masks[name].all():
            assert gradient[~masks[name]].any(), "what is masked has a derivative, too"


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"chain"}))
def test_is_the_derivative_of_the_masked_network(name: str) -> None:
    model, x = _model(name)
    groups = find_channel_groups(model, x)
    reader, masks = GateGradients(model, groups), random_masks(groups, seed=1)
    gates = {name: mask.double().requires_grad_() for name, mask in masks.items()}
    with gated_channels(model, groups, gates):
        expected = torch.autograd.grad(_loss(model, x), list(gates.values()))
    with straight_through(model, groups, masks):
        _loss(model, x).backward()
    # Moving a gate through a ReLU changes no derivative; through a batch norm, as much as epsilon.
    for derivative, gradient in zip(reader.split(reader.read()).values(), expected, strict=True):
        assert torch.allclose(derivative, gradient, rtol=1e-3, atol=1e-6)


def test_weights_in_front_of_a_batch_norm_tell_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, eps=1e-20), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(3 * 36, 2)).double()
    _loss(model, torch.randn(IMAGES).double()).backward()
    weight = model[0].weight
    assert (weight.grad * weight).flatten(1).sum(1).abs().max() < 1e-12
    groups = find_channel_groups(model, torch.zeros(IMAGES).double())
    assert GateGradients(model, groups).read().abs().min() > 1e-3


def test_names_the_layers_without_gradients() -> None:
    model, x = _model("chain")
    reader = GateGradients(model, find_channel_groups(model, x))
    names = ("1.weight", "10.weight", "1.bias", "10.bias", "4.weight", "4.bias")
    message = f"{len(names)} problems:" + "".join(
        f"\n  - saliency needs gradients of all gated layers, but '{name}' has none"
        for name in names
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        reader.read()
