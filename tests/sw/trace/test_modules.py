"""Hooks and parametrizations: what the next forward pass computes, or a refusal by name."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from systolith.quant import prepare
from tests.support.written_models import IMAGES, assert_computes_the_same, problems_of


def _net(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    ).eval()


class _Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def _pruned(model: nn.Sequential) -> None:
    prune.l1_unstructured(model[0], "weight", 0.5)
    prune.random_unstructured(model[1], "bias", 0.5)
    prune.l1_unstructured(model[4], "weight", 0.5)


def _norm_by_hook(model: nn.Sequential) -> None:
    weight_norm(model[0])
    weight_norm(model[4])


def _spectral_by_hook(model: nn.Sequential) -> None:
    spectral_norm(model[0])


def _norm_by_parametrization(model: nn.Sequential) -> None:
    parametrizations.weight_norm(model[0])
    parametrizations.spectral_norm(model[4])


def _own_parametrization(model: nn.Sequential) -> None:
    for layer in (model[0], model[1], model[4]):
        parametrize.register_parametrization(layer, "weight", _Halved())


KINDS = [_pruned, _norm_by_hook, _spectral_by_hook, _norm_by_parametrization, _own_parametrization]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_a_checkpoint_that_was_loaded(
    kind: Callable[[nn.Sequential], None],
) -> None:
    trained, fresh = _net(1), _net(2)
    kind(trained)
    kind(fresh)
    fresh(IMAGES)
    fresh.load_state_dict(trained.state_dict())
    expected = trained(IMAGES)
    got = prepare(fresh, IMAGES)(IMAGES)
    assert (got - expected).abs().max() < 0.06 * expected.abs().max()
    assert_computes_the_same(fresh)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_after_a_step_of_training(kind: Callable[[nn.Sequential], None]) -> None:
    model = _net(1)
    kind(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    model(IMAGES).square().mean().backward()
    optimizer.step()
    quantized = prepare(model, IMAGES)
    assert_computes_the_same(model)
    weights = [quantized.layer(name).weight for name in ("layer_0", "layer_4")]
    assert [weight.requires_grad for weight in weights] == [True, True]


def test_computed_weights_of_frozen_parameters_stay_frozen() -> None:
    model = _net(1)
    prune.l1_unstructured(model[0], "weight", 0.5)
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    assert not prepare(model, IMAGES).layer("layer_0").weight.requires_grad


def test_hooks_that_only_look_change_nothing() -> None:
    seen: dict[str, Tensor] = {}
    model = _net(1)
    model[2].register_forward_hook(lambda m, given, y: seen.update(features=y.detach()))
    model[0].register_full_backward_hook(lambda m, given, y: None)
    assert len(assert_computes_the_same(model)) == 3
    assert seen["features"].shape[1:] == (4, 6, 6)


def test_hooks_that_compute_something_hardware_can_are_part_of_the_network() -> None:
    model = _net(1)
    model.register_forward_pre_hook(lambda m, given: (given[0] * 2 - 1,))
    model[1].register_forward_hook(lambda m, given, y: y + y)
    layers = assert_computes_the_same(model)
    assert [layer.name for layer in layers] == ["layer_0", "add", "layer_3", "layer_4"]


@pytest.mark.parametrize("place", [None, 0, 2, 4])
def test_other_hooks_are_refused_by_name(place: int | None) -> None:
    model = _net(1)
    module = model if place is None else model[place]
    module.register_forward_hook(lambda m, given, y: torch.sinc(y))
    assert problems_of(model)[0].startswith("'sinc' (function sinc): supported are")


def test_hooks_of_all_modules_are_seen() -> None:
    handle = nn.modules.module.register_module_forward_hook(
        lambda m, given, y: torch.sinc(y) if isinstance(m, nn.Linear) else None
    )
    try:
        assert problems_of(_net(1))[0].startswith("'sinc' (function sinc): supported are")
    finally:
        handle.remove()


def test_a_forward_that_was_replaced_is_what_counts() -> None:
    model = _net(1)
    model[2].forward = torch.sinc
    assert problems_of(model)[0].startswith("'sinc' (function sinc): supported are")
