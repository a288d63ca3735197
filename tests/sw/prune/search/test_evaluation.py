"""Many masks at once give the losses that one network after the other gives."""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from systolith.models import CifarResNet, DigitsCNN, MobileNetV1, TinyResNet
from systolith.prune import PruneError
from systolith.prune.filters import ChannelGroup, find_channel_groups, gated, module_gates
from systolith.prune.search import EvaluationSplit, GateEvaluator, LayerEvaluator, Loss


class _Awkward(nn.Module):
    """Groups, biases, strides, in-place operations, a shortcut from the input, sample counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.grouped = nn.Conv2d(
            6, 6, (3, 1), stride=2, padding=1, groups=3, padding_mode="circular"
        )
        self.relu = nn.ReLU(inplace=True)
        self.hidden = nn.Linear(30, 10)
        self.last = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y += x
        y = self.relu(self.grouped(y))
        y = F.max_pool2d(y, (1, 2)).sum(2)[:, :, None] + y[:, :, :, :1].transpose(2, 3)[..., :1]
        y = torch.cat([y, y.square()[:, :, :, :2]], dim=3).mean(3)
        y = y.repeat(1, 5, 1).view(y.size(0), -1)
        logits: Tensor = self.last(self.hidden(y).relu_())
        return logits


class _Written(nn.Module):
    """Branches on shapes, sizes in arguments, statements in place: torch.fx cannot trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.last = nn.Linear(16, 4)
        self.first.register_forward_hook(lambda module, given, output: output / 2)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        if x.ndim != 4 or len(x) < 1:
            raise ValueError("images must have shape (N, C, H, W)")
        x = torch.relu(self.norm(self.first(x)))
        for block in self.blocks[: x.size(3) // 4]:  # the first two
            y = torch.add(block(x), x)
            y.clamp_(min=0)
            x = y if scale is None else y * scale
        x = F.avg_pool2d(x, x.size(3) // 2)
        x = torch.cat([x.reshape(len(x), -1), torch.zeros(len(x), 0, dtype=x.dtype)], 1)
        logits: Tensor = self.last(
            x.view(x.size(0), 4, -1).view(x.size(0) * 4, -1).view(len(x), -1)
        )
        return logits


def _model(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        kinds = {
            "chain": DigitsCNN,
            "residual": TinyResNet,
            "awkward": _Awkward,
            "written": _Written,
        }
        model: nn.Module = kinds[name]()
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 4)
            module.weight.data.copy_(1 + torch.rand(module.num_features, generator=generator))
    model = model.double().eval()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    linear.bias.data -= (
        model(_split().images).detach().mean(0)
    )  # else one class wins for all images
    return model


def _split(
    loss: Loss = Loss.CROSS_ENTROPY, batch_size: int = 4, folded: int = 9
) -> EvaluationSplit:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(10, 1, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (10,), generator=generator)
    return EvaluationSplit(
        images=images, labels=labels, loss=loss, batch_size=batch_size, folded=folded
    )


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
    model, split = _model(name), _split(loss)
    masks = _masks(model, layer)
    losses = LayerEvaluator(model, layer, split)(masks)
    expected = _one_by_one(model, layer, masks, split)
    assert len(expected.unique()) > 1
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("batch_size", "folded"), [(1, 1), (3, 100), (10, 1), (256, 20), (4, 8)])
def test_sizes_of_batches_change_nothing(batch_size: int, folded: int) -> None:
    model, masks = _model("residual"), _masks(_model("residual"), "conv1.0", 7)
    losses = LayerEvaluator(model, "conv1.0", _split(batch_size=batch_size, folded=folded))(masks)
    expected = LayerEvaluator(model, "conv1.0", _split())(masks)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


def _group(name: str, size: int, *gated: str) -> ChannelGroup:
    units = dict.fromkeys(gated, tuple(range(size)))
    return ChannelGroup(
        name=name,
        size=size,
        producers=gated,
        gated=gated,
        consumers=(),
        outputs=units,
        inputs={},
    )


GROUPS: dict[str, tuple[ChannelGroup, ...]] = {
    "chain": (_group("a", 16, "bn1"), _group("b", 32, "conv3")),
    "residual": (
        _group("trunk", 16, "stem.1", "conv2.1"),
        _group("inner", 16, "conv1.1"),
        _group("late", 16, "pointwise.1"),
    ),
    "awkward": (
        _group("a", 6, "first"),
        replace(_group("b", 3, "grouped"), outputs={"grouped": (0, -1, 1, 2, 2, -1)}),
        _group("c", 10, "hidden"),
    ),
    "written": (_group("a", 4, "norm", "blocks.0", "blocks.1"),),
}


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
    model, split, groups = _model(name), _split(loss), GROUPS[name]
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
    model, split, groups = _model(name), _split(), GROUPS[name]
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
    evaluator = GateEvaluator(_model("residual"), groups, _split())
    gates = torch.rand(3, 16, generator=torch.Generator().manual_seed(1)) < 0.5
    whole = torch.ones(3, 16, dtype=torch.bool)
    for _ in range(2):
        for one in groups:
            expected = evaluator({group.name: gates if group == one else whole for group in groups})
            losses = evaluator({one.name: gates})
            torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)


def test_leaves_the_model_as_it_was() -> None:
    model = _model("awkward").train()
    before = copy.deepcopy(model.state_dict())
    LayerEvaluator(model, "first", _split())(_masks(model, "first"))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_later_changes_of_the_model_do_not_matter() -> None:
    model, masks = _model("chain"), _masks(_model("chain"), "conv2")
    evaluator = LayerEvaluator(model, "conv2", _split())
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


def test_refuses_an_empty_split_and_wrong_shapes() -> None:
    message = (
        "3 problems:\n  - an evaluation split needs at least one image, got none"
        "\n  - labels of an evaluation split must be int64 and have shape (0,), one per image, "
        "got torch.float32 (3,)"
        "\n  - batch_size of an evaluation split must be at least 1, got 0"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        EvaluationSplit(images=torch.zeros(0, 1, 8, 8), labels=torch.zeros(3), batch_size=0)
    message = (
        "images of an evaluation split must be of float and have shape (N, ...), "
        "got torch.uint8 (2, 4)"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        EvaluationSplit(
            images=torch.zeros(2, 4, dtype=torch.uint8), labels=torch.zeros(2, dtype=torch.int64)
        )


def test_refuses_unknown_layers_masks_and_gates() -> None:
    model, split = _model("chain"), _split()
    message = "the model must call the module 'conv9' to vary it, but calls none so named"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(model, "conv9", split)
    message = "the layer to vary must be a convolution or Linear, but 'bn1' is a BatchNorm2d"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(model, "bn1", split)
    message = "masks of layer 'fc' need shape (P, 10, 128), got (2, 128, 10)"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(model, "fc", split)(torch.ones(2, 128, 10))
    message = (
        "4 problems:\n  - gates of group 'a' need shape (P, 16), got (3, 8)"
        "\n  - gates must name groups of a, b, fixed, got 'c'"
        "\n  - group 'fixed' cannot be gated: it is an output of the network"
        "\n  - gates need one number of variants, got [2, 3]"
    )
    fixed = replace(_group("fixed", 10), reason="it is an output of the network")
    evaluator = GateEvaluator(model, (*GROUPS["chain"], fixed), split)
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        evaluator({"a": torch.ones(3, 8), "c": torch.ones(2, 32), "fixed": torch.ones(2, 10)})
    message = "gates must name at least one group of a, b, fixed, got none"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        evaluator({})


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(self.layer(x.flatten(1)))
        return logits


class _Mixes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.flatten(1))
        return logits.flip(0)


class _Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.flatten(1))
        return logits + 1 / len(x)


class _Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_refuses_networks_that_cannot_be_folded() -> None:
    message = "the layer to vary must be called once, but 'layer' is called 2 times"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(_Twice().double(), "layer", _split())
    message = (
        "a network is evaluated with many masks at once, so each of its samples must be computed "
        "by itself, whatever their number; it gives other logits then"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(_Mixes().double(), "layer", _split())
    message = "'_Branches' (model): needs a forward() that does not branch on values"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}"):
        LayerEvaluator(_Branches(), "layer", _split())
    message = "'add' (function add): needs to be the same for any number of images"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(_Counts().double(), "layer", _split())


def test_refuses_layers_whose_weights_are_computed() -> None:
    model = _model("chain")
    parametrizations.weight_norm(model.conv2)
    message = (
        "masks need parameters, but 'conv2' computes its weights; call "
        "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(model, "conv2", _split())


def test_networks_may_be_written_in_ways_that_fx_cannot_trace() -> None:
    with pytest.raises(fx.proxy.TraceError):
        fx.symbolic_trace(_model("written"))
