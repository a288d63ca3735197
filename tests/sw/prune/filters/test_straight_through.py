from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.prune.filters import find_channel_groups, gated_channels, straight_through
from tests.sw.prune.filters.random_masks import random_masks
from tests.sw.prune.filters.small_models import IMAGES, NETWORKS


def _model(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return NETWORKS[name]().double(), torch.randn(IMAGES).double()


def _gradients(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(1)  # dropout draws the same in each pass
    model.zero_grad()
    (model(x) - 1).square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_kept_gets_the_gradients_of_the_masked_network(name: str) -> None:
    model, x = _model(name)
    groups = find_channel_groups(model, x)
    masks = random_masks(groups, seed=4)
    with gated_channels(model, groups, masks):
        expected = _gradients(model, x)
    with straight_through(model, groups, masks):
        gradients = _gradients(model, x)
    kept, learning = masks.channel_masks(), 0
    assert list(gradients) == list(expected)
    for parameter, gradient in gradients.items():
        module = parameter.rpartition(".")[0]
        mask = kept.get(module, torch.ones(len(gradient), dtype=torch.bool))
        assert torch.allclose(gradient[mask], expected[parameter][mask], rtol=1e-9, atol=1e-12)
        learning += int(gradient[~mask].abs().sum() > 0)
    assert learning, "masked filters learn, too"


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(2, 4, 3, padding=1, stride=2),
        lambda: nn.Conv2d(2, 4, 3, padding="same", dilation=2, bias=False),
        lambda: nn.Conv2d(2, 4, (3, 5), padding="same"),
        lambda: nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),
        lambda: nn.Conv2d(2, 4, (3, 1), padding="valid", dilation=(2, 1)),
    ],
)
def test_a_masked_filter_gets_the_gradient_of_what_it_would_be(
    make: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 2, 1), make(), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1)
    )
    model.double()
    x = torch.randn(IMAGES).double()
    groups = find_channel_groups(model, x)
    mask = torch.tensor([True, False, True, False])
    with straight_through(model, groups, {"1": mask}):
        gradients = _gradients(model, x)

    # As if each masked channel were added with a weight of zero, but its gradient with one.
    model.zero_grad()
    below = model[0](x)
    kept, hidden = (model[3](model[2](model[1](y))) for y in (below, below.detach()))
    rows = mask.double().view(1, 4, 1, 1)
    seen = kept * rows + (hidden - hidden.detach()) * (1 - rows)
    (model[4](seen) - 1).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(gradients[name], parameter.grad, rtol=1e-9, atol=1e-12), name


def test_linear_layers_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    x = torch.randn(5, 3)
    mask = torch.tensor([True, False])
    with straight_through(model, find_channel_groups(model, x), {"1": mask}):
        gradients = _gradients(model, x)
    below = model[0](x)
    hidden = model[1](below)
    error = 2 * (model[3](F.relu(hidden) * mask) - 1) / 5
    delta = error @ model[3].weight * (hidden > 0)
    assert torch.allclose(gradients["1.weight"], delta.T @ below, rtol=1e-4, atol=1e-6)
    assert torch.allclose(gradients["1.bias"], delta.sum(0), rtol=1e-4, atol=1e-6)
    first = ((delta * mask) @ model[1].weight).T @ x
    assert torch.allclose(gradients["0.weight"], first, rtol=1e-4)


def test_mixed_precision() -> None:
    model, x = _model("residual")
    model, x = model.float(), x.float()
    groups = find_channel_groups(model, x)
    masks = random_masks(groups, seed=4)
    with torch.autocast("cpu", torch.bfloat16):
        with gated_channels(model, groups, masks):
            expected = _gradients(model, x)
        with straight_through(model, groups, masks):
            gradients = _gradients(model, x)
    for name, mask in masks.channel_masks().items():
        gradient = gradients[f"{name}.weight"]
        assert gradient.dtype == torch.float32
        difference = gradient[mask] - expected[f"{name}.weight"][mask]
        assert difference.norm() <= 0.01 * gradient[mask].norm()


def test_leaves_the_model_as_it_was() -> None:
    model, x = _model("residual")
    model.a1.forward = model.a1.forward  # as some libraries do
    own = model.a1.forward
    before = model(x)
    groups = find_channel_groups(model, x)
    with (
        pytest.raises(ValueError, match="^stop$"),
        straight_through(model, groups, random_masks(groups, seed=0)),
    ):
        raise ValueError("stop")
    assert model.a1.__dict__["forward"] is own
    assert "forward" not in model.stem.__dict__
    assert torch.equal(model(x), before)
