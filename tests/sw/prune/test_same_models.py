"""Pruning takes the models that quantization takes, and refuses the same ones by name."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.prune import PruneError
from systolith.prune.filters import FilterMasks, find_channel_groups, remove_filters
from systolith.prune.search import EvaluationSplit, LayerEvaluator, Loss
from systolith.quant import prepare
from tests.support.written_models import IMAGES, Written, problems_of

LABELS = torch.arange(len(IMAGES)) % 2
SPLIT = EvaluationSplit(images=IMAGES, labels=LABELS, loss=Loss.CROSS_ENTROPY)


def _functions(m: Written, x: Tensor) -> Tensor:
    x = F.relu(m.norm(m.a(x)))
    y = torch.add(m.c(x), x)
    y.clamp_(min=0)
    return m.fc(y.reshape(len(y), -1))


def _branches(m: Written, x: Tensor) -> Tensor:
    x = m.a(x) if x.shape[-1] > 4 else m.d(x)
    for _ in range(x.size(3) // 4):
        x = x.relu()
    return m.b(x).mean((2, 3))


def _in_place(m: Written, x: Tensor) -> Tensor:
    y = m.a(x)
    alias = m.same(y)
    alias += m.d(x)
    y.relu_()
    return m.b(y).flatten(1)


def _normalized(m: Written, x: Tensor) -> Tensor:
    return m.b(F.relu(m.a((x - m.mean) / 0.5))).amax((2, 3))


def _sizes(m: Written, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.b(F.avg_pool2d(x, x.size(3))).view(x.size(0), -1)


@pytest.mark.parametrize("forward", [_functions, _branches, _in_place, _normalized, _sizes])
def test_models_are_pruned_however_they_are_written(forward: Callable[..., Tensor]) -> None:
    model = Written(forward).eval()
    groups = find_channel_groups(model, IMAGES)
    halves = {group.name: torch.arange(group.size) % 2 == 0 for group in groups if group.removable}
    assert "a" in halves
    masks = FilterMasks(halves, groups)
    small = remove_filters(model, masks, IMAGES)
    assert small.a.weight.shape == (2, 3, 3, 3)
    assert prepare(small, IMAGES).notes == ()
    # A search reads the same model: masks of a layer have the losses of masked networks.
    weights = torch.rand(3, *model.a.weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    losses = LayerEvaluator(model, "a", SPLIT)(weights)
    whole = model.a.weight.detach().clone()
    for mask, loss in zip(weights, losses, strict=True):
        model.a.weight.data = whole * mask
        expected = F.cross_entropy(model(IMAGES.clone()), LABELS)
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def _branches_on_values(m: Written, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.b(x if x.sum() > 0 else -x).flatten(1)


def _takes_values_out(m: Written, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.b(x * x.mean().item()).flatten(1)


def _changes_a_part(m: Written, x: Tensor) -> Tensor:
    x = m.a(x)
    x[:, :2].relu_()
    return m.b(x).flatten(1)


def _returns_a_number(m: Written, x: Tensor) -> tuple[Tensor, int]:
    x = m.a(x)
    return m.b(x).flatten(1), len(x)


def _does_not_fit(m: Written, x: Tensor) -> Tensor:
    return m.b(m.d(m.a(x))).flatten(1)


def _plain(m: Written, x: Tensor) -> Tensor:
    return m.b(m.a(x)).flatten(1)


@pytest.mark.parametrize(
    "model",
    [
        *map(Written, (_branches_on_values, _takes_values_out, _changes_a_part)),
        *map(Written, (_returns_a_number, _does_not_fit)),
        Written(_plain).half(),
        nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2)),
        nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 3)), nn.Flatten()),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_models_are_refused_with_the_same_words(model: nn.Module) -> None:
    with pytest.raises(PruneError) as filters:
        find_channel_groups(model, IMAGES)
    with pytest.raises(PruneError) as search:
        LayerEvaluator(model, "a", SPLIT)
    assert filters.value.problems == search.value.problems
    assert {*filters.value.problems} <= {*problems_of(model)}
