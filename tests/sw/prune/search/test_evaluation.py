"""Many masks at once give the losses that one network after the other gives."""

import copy
from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from systolith.models import CifarResNet, DigitsCNN, MobileNetV1
from systolith.prune.filters import ChannelGroup, find_channel_groups, gated, module_gates
from systolith.prune.search import EvaluationSplit, GateEvaluator, LayerEvaluator, Loss
from tests.sw.prune.search.evaluated import GROUPS, make_model, make_split


def _loss(model: nn.Module, split: EvaluationSplit) -> Tensor:
    logits = model.eval()(split.images)
    if split.loss is Loss.CROSS_ENTROPY:
        return F.cross_entropy(logits, split.labels).detach()
    return (logits.argmax(1) != split.labels).double().mean()


def _one_by_one(model: nn.Module, layer: str, masks: Tensor, split: EvaluationSplit) -> Tensor:
    losses = []
    for mask in masks:
        other = copy.deepcopy(model)
        other.get_parameter(f"{layer}.weight").data.mul_(mask)
        losses.append(_loss(other, split))
    return torch.stack(losses)


def _masks(model: nn.Module, layer: str, count: int = 5) -> Tensor:
    shape = model.get_parameter(f"{layer}.weight").shape
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(2)) < 0.5


LAYERS = [
    *[("chain", layer) for layer in ("conv1", "conv2", "conv3", "fc")],
    *[("residual", layer) for layer in ("stem.0", "conv1.0", "conv2.0", "depthwise.0", "fc")],
    *[("awkward", layer) for layer in ("first", "grouped", "hidden", "last")],
    *[("written", layer) for layer in ("first", "blocks.0", "blocks.1", "last")],
]


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_masked_layers_equal_masking_one_by_one(name: str, layer: str, loss: Loss) -> None:
    model, split = make_model(name), make_split(loss)
    masks = _masks(model, layer)
    losses = LayerEvaluator(model, layer, split)(masks)
    expected = _one_by_one(model, layer, masks, split)
    assert len(expected.unique()) > 1
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("batch_size", "folded"), [(1, 1), (3, 100), (10, 1), (256, 20), (4, 8)])
def test_sizes_of_batches_change_nothing(batch_size: int, folded: int) -> None:
    model, masks = make_model("residual"), _masks(make_model("residual"), "conv1.0", 7)
    losses = LayerEvaluator(model, "conv1.0", make_split(batch_size=batch_size, folded=folded))(
        masks
    )
    expected = LayerEvaluator(model, "conv1.0", make_split())(masks)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


def _gates(groups: tuple[ChannelGroup, ...], count: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        group.name: torch.rand(count, group.size, generator=generator) < 0.7 for group in groups
    }


def _gated_one_by_one(
    model: nn.Module,
    groups: tuple[ChannelGroup, ...],
    gates: Mapping[str, Tensor],
    split: EvaluationSplit,
) -> Tensor:
    losses = []
    for i in range(len(next(iter(gates.values())))):
        some = {name: gate[i] for name, gate in gates.items()}
        with gated(model, module_gates(groups, some)):
            losses.append(_loss(model, split))
    return torch.stack(losses)


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("name", GROUPS)
def test_gates_equal_gating_one_by_one(name: str, loss: Loss) -> None:
    model, split, groups = make_model(name), make_split(loss), GROUPS[name]
    gates = _gates(groups, 6)
    losses = GateEvaluator(model, groups, split)(gates)
    expected = _gated_one_by_one(model, groups, gates, split)
    assert len(expected.unique()) > 1
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [partial(CifarResNet, 1), DigitsCNN, MobileNetV1])
def test_gates_of_found_groups_equal_gating_one_by_one(kind: Callable[[], nn.Module]) -> None:
    model = kind().double().eval()
    channels = 1 if isinstance(model, DigitsCNN) else 3
    generator = torch.Generator().manual_seed(4)
    size = 32 if isinstance(model, MobileNetV1) else 8
    shape = (4, channels, size, size)
    images = torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(2, (4,), generator=generator)
    split = EvaluationSplit(images=images, labels=labels, loss=Loss.CROSS_ENTROPY)
    groups = tuple(group for group in find_channel_groups(model, images) if group.removable)
    gates = _gates(groups, 3)
    losses = GateEvaluator(model, groups, split)(gates)
    expected = _gated_one_by_one(model, groups, gates, split)
    assert len(expected.unique()) > 1
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["chain", "residual", "awkward"])
def test_many_gates_share_what_is_before_their_first_zero(name: str) -> None:
    """Some leave the first groups whole, one leaves all whole; the order of losses stays."""
    model, split, groups = make_model(name), make_split(), GROUPS[name]
    gates = _gates(groups, 17)
    for place, gate in enumerate(gates.values()):
        gate[place * 5 : place * 5 + 4] = True
        gate[11] = True
    gates[groups[0].name][2::3] = True
    losses = GateEvaluator(model, groups, split)(gates)
    expected = _gated_one_by_one(model, groups, gates, split)
    assert len(expected.unique()) > 10
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


def test_groups_without_gates_are_left_whole() -> None:
    groups = GROUPS["residual"]
    evaluator = GateEvaluator(make_model("residual"), groups, make_split())
    gates = torch.rand(3, 16, generator=torch.Generator().manual_seed(1)) < 0.5
    whole = torch.ones(3, 16, dtype=torch.bool)
    for _ in range(2):
        for one in groups:
            expected = evaluator({group.name: gates if group == one else whole for group in groups})
            losses = evaluator({one.name: gates})
            torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


def test_leaves_the_model_as_it_was() -> None:
    model = make_model("awkward").train()
    before = copy.deepcopy(model.state_dict())
    LayerEvaluator(model, "first", make_split())(_masks(model, "first"))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_later_changes_of_the_model_do_not_matter() -> None:
    model, masks = make_model("chain"), _masks(make_model("chain"), "conv2")
    evaluator = LayerEvaluator(model, "conv2", make_split())
    before = evaluator(masks)
    for parameter in model.parameters():
        parameter.data.zero_()
    assert torch.equal(evaluator(masks), before)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_channels_last_and_mixed_precision_are_near(dtype: torch.dtype | None) -> None:
    model = CifarResNet(blocks=1).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 8, 8, generator=generator)
    labels = model(images).argmax(1)
    masks = _masks(model, "layer2.0.conv1")
    exact = EvaluationSplit(images=images, labels=labels, loss=Loss.CROSS_ENTROPY)
    fast = EvaluationSplit(
        images=images, labels=labels, loss=Loss.CROSS_ENTROPY, channels_last=True, dtype=dtype
    )
    expected = LayerEvaluator(model, "layer2.0.conv1", exact)(masks)
    losses = LayerEvaluator(model, "layer2.0.conv1", fast)(masks)
    tolerance = 1e-5 if dtype is None else 3e-2
    torch.testing.assert_close(losses, expected, rtol=tolerance, atol=tolerance)


def test_losses_are_the_closed_form() -> None:
    logits = torch.tensor([[[2.0, 1.0], [0.0, 0.0]], [[0.0, 3.0], [1.0, 2.0]]])
    labels = torch.tensor([0, 1])
    assert Loss.MISCLASSIFICATION.total(logits, labels).tolist() == [1.0, 1.0]
    assert Loss.MISCLASSIFICATION.total(logits * torch.nan, labels).tolist() == [2.0, 2.0]
    expected = [F.cross_entropy(each, labels, reduction="sum").double() for each in logits]
    torch.testing.assert_close(Loss.CROSS_ENTROPY.total(logits, labels), torch.stack(expected))


def test_networks_may_be_written_in_ways_that_fx_cannot_trace() -> None:
    with pytest.raises(fx.proxy.TraceError):
        fx.symbolic_trace(make_model("written"))
