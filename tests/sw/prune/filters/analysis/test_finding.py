import operator
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from systolith.models import resnet20
from systolith.prune import PruneError
from systolith.prune.filters import (
    ChannelGroup,
    FilterMasks,
    find_channel_groups,
    module_gates,
    remove_filters,
)
from tests.sw.prune.filters.small_models import NETWORKS, Between, images, in_place_then_read


def _groups(name: str) -> dict[str, ChannelGroup]:
    return {group.name: group for group in find_channel_groups(NETWORKS[name](), images().float())}


def _summary(name: str) -> list[tuple[object, ...]]:
    return [
        (group.name, group.size, group.producers, group.gated, group.consumers)
        for group in _groups(name).values()
        if group.removable
    ]


def test_a_chain_has_one_group_for_each_layer_but_the_last() -> None:
    assert _summary("chain") == [
        ("0", 5, ("0",), ("1",), ("4",)),
        ("4", 4, ("4",), ("4",), ("9",)),
        ("9", 6, ("9",), ("10",), ("12",)),
    ]
    assert _groups("chain")["12"].reason == "it is an output of the network"


def test_flattening_repeats_each_channel_for_its_pixels() -> None:
    assert _groups("chain")["4"].inputs["9"] == tuple(unit for unit in range(4) for _ in range(4))


def test_an_addition_ties_what_it_adds() -> None:
    assert _summary("residual") == [
        ("stem", 4, ("stem", "a2"), ("stem_bn", "a2_bn"), ("a1", "b1", "shortcut")),
        ("a1", 3, ("a1",), ("a1_bn",), ("a2",)),
        ("b1", 5, ("b1",), ("b1_bn",), ("b2",)),
        ("b2", 6, ("b2", "shortcut"), ("b2_bn", "shortcut"), ("head",)),
    ]


def test_gates_sit_behind_batch_norms_even_far_from_the_convolution() -> None:
    assert _summary("pre-activation") == [
        ("stem", 4, ("stem", "conv1", "conv2"), ("bn1", "bn2", "bn3"), ("conv1", "conv2", "head"))
    ]


def test_depthwise_filters_belong_to_the_channel_that_they_read() -> None:
    assert _summary("separable") == [
        ("stem", 4, ("stem", "depth1"), ("bn1",), ("point1",)),
        ("point1", 5, ("point1", "depth2"), ("bn2",), ("point2",)),
    ]
    assert _groups("separable")["point1"].outputs["bn2"] == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)


def test_a_concatenation_joins_groups_without_tying_them() -> None:
    assert _summary("dense") == [
        ("conv1", 3, ("conv1", "conv4"), ("conv1", "bn", "conv4"), ("conv3", "head")),
        ("conv2", 4, ("conv2", "conv4"), ("conv2", "bn", "conv4"), ("conv3", "head")),
        ("conv3", 5, ("conv3",), ("conv3",), ("conv4",)),
    ]
    assert _groups("dense")["conv2"].outputs["bn"] == (-1, -1, -1, 0, 1, 2, 3)


def test_padded_channels_stay_and_the_others_are_tied_exactly() -> None:
    groups = _groups("option-a")
    assert groups["stem"].outputs["conv2"] == (-1, 0, 1, 2, 3, -1, -1)
    assert groups["stem"].removable
    assert groups["conv2"].size == 3
    assert groups["conv2"].reason == "it is tied to the zero channels that 'pad' adds"


def test_a_layer_that_is_called_twice_ties_its_inputs() -> None:
    assert _summary("shared") == [("stem", 4, ("stem", "conv"), ("stem", "conv"), ("conv", "head"))]


def test_a_model_that_fx_cannot_trace_has_the_groups_of_what_it_computes() -> None:
    model = NETWORKS["written"]()
    with pytest.raises(fx.proxy.TraceError):
        fx.symbolic_trace(model)
    gated, consumers = ("norm", "blocks.0", "blocks.1"), ("blocks.0", "blocks.1", "head")
    assert _summary("written") == [("stem", 4, ("stem", "blocks.0", "blocks.1"), gated, consumers)]


def test_a_resnet_has_a_group_per_stage_and_one_per_block() -> None:
    groups = find_channel_groups(resnet20(), torch.zeros(1, 3, 32, 32))
    sizes = {group.name: group.size for group in groups if group.removable}
    inner = {f"layer{s}.{b}.conv1": 8 * 2**s for s in (1, 2, 3) for b in (0, 1, 2)}
    assert sizes == {"conv1": 16, "layer2.0.conv2": 32, "layer3.0.conv2": 64, **inner}


@pytest.mark.parametrize(
    "operation",
    [
        nn.ReLU(),
        nn.SiLU(),
        nn.LeakyReLU(),
        nn.Upsample(scale_factor=2),
        nn.ZeroPad2d((0, 1, 0, 1)),
        lambda x: x[..., 1:, ::2],
        lambda x: x[:, :, 1:],
        lambda x: F.interpolate(x, size=x.shape[2:]),
        lambda x: F.avg_pool2d(x, x.shape[2] // 4),
        lambda x: F.avg_pool2d(x, x.size(-1)),
        lambda x: F.dropout(F.gelu(x), training=False),
        lambda x: 2 * x / 3,
        lambda x: torch.cat([x, x], 0),
        lambda x: torch.cat([x, -x], -1),
        lambda x: x * F.relu(x),
        lambda x: x.contiguous().clone().tanh(),
        in_place_then_read,
    ],
)
def test_follows_what_works_on_each_channel_alone(operation: Callable[[Tensor], Tensor]) -> None:
    group = find_channel_groups(Between(operation), images().float())[0]
    assert (group.name, group.removable, group.consumers) == ("conv1", True, ("conv2",))


@pytest.mark.parametrize(
    ("operation", "met"),
    [
        (torch.sigmoid, "'sigmoid' (sigmoid)"),
        (nn.Sigmoid(), "'operation' (Sigmoid)"),
        (nn.Hardtanh(1, 2), "'operation' (Hardtanh)"),
        (nn.GroupNorm(2, 4), "'operation' (GroupNorm)"),
        (nn.PReLU(4), "'operation' (PReLU)"),
        (nn.BatchNorm2d(4, affine=False), "'operation' (BatchNorm2d)"),
        (lambda x: x + 1, "'add' (add)"),
        (lambda x: x + x.mean((0, 1, 2, 3)), "'mean' (mean)"),
        (lambda x: x + x.mean(1, keepdim=True), "'mean' (mean)"),
        (lambda x: x * x.shape[1], "'mul' (mul)"),
        (lambda x: x * (x.shape[1] + 1), "'mul' (mul)"),
        (lambda x: x / x.shape[1], "'truediv' (truediv)"),
        (lambda x: F.interpolate(x, size=x.shape[1:3]), "'interpolate' (interpolate)"),
        (lambda x: F.pad(x, (0, 0, 0, 0, 0, 4 - x.size(1))), "'pad' (pad)"),
        (lambda x: F.pad(x, (1, 1), value=1.0), "'sub' (sub)"),
        (lambda x: torch.cat([x[:, :3], x[:, 3:]], 1), "'getitem' (getitem)"),
        (lambda x: torch.cat([x[:, :2], x[:, 2:]], 1), "'getitem' (getitem)"),
        (lambda x: torch.cat(x.split(2, 1), 1), "'getitem_1' (getitem)"),
        (lambda x: torch.cat(x.split([1, 3], 1), 1), "'split' (split)"),
        (lambda x: torch.cat(x.split([2, 2], 1), 1), "'split' (split)"),
        (lambda x: x.view(x.size(0), 2, 2, 8, 8).flatten(1, 2), "'view' (view)"),
        (lambda x: x[:2], "'getitem' (getitem)"),
        (lambda x: torch.cat(x.chunk(3, dim=1), 1), "'chunk' (chunk)"),
        (lambda x: x.flip(1), "'flip' (flip)"),
        (lambda x: torch.cat([y := x.transpose(1, 2), y], 2).transpose(1, 2)[:, :4],
         "'transpose' (transpose)"),
        (lambda x: x.view(x.size(0), 4, 8, 8), "'view' (view)"),
    ],
)  # fmt: skip
def test_refuses_what_it_cannot_follow(operation: Callable[[Tensor], Tensor], met: str) -> None:
    group = find_channel_groups(Between(operation), images().float())[0]
    assert group.name == "conv1"
    assert group.reason == f"it meets {met}, through which channels cannot be followed"


def test_ties_channels_at_the_same_place_of_each_group_of_a_convolution() -> None:
    model = Between(nn.Conv2d(4, 4, 1, groups=2))
    first, second, *_ = find_channel_groups(model, images().float())
    assert (first.name, first.size, first.removable) == ("conv1", 2, True)
    assert first.outputs["conv1"] == (0, 1, 0, 1) and first.consumers == ("operation",)
    assert (second.name, second.size, second.removable) == ("operation", 2, True)


@pytest.mark.parametrize(
    ("operation", "units"),
    [
        (lambda x: torch.cat(x.chunk(2, dim=1)[::-1], 1), (0, 1, 0, 1)),
        (lambda x: torch.cat(x.tensor_split(2, dim=1)[::-1], 1), (0, 1, 0, 1)),
        (lambda x: torch.cat(x.split(x.size(1) // 2, dim=1)[::-1], 1), (0, 1, 0, 1)),
        (lambda x: F.channel_shuffle(x, 2), (0, 1, 0, 1)),
        (lambda x: x.unflatten(1, (2, -1)).permute(0, 2, 1, 3, 4).flatten(1, 2), (0, 1, 0, 1)),
        (lambda x: torch.cat([x[:, : x.size(1) // 2]] * 2, 1), (0, 1, 0, 1)),
        (lambda x: torch.cat([x.narrow(1, 0, x.size(1) // 2)] * 2, 1), (0, 1, 0, 1)),
        (lambda x: F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), (0, 0, 0, 0)),
        (lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2), (0, 1, 2, 3)),
        (lambda x: x[:, :4], (0, 1, 2, 3)),
    ],
)
def test_ties_channels_of_equal_parts(
    operation: Callable[[Tensor], Tensor], units: tuple[int, ...]
) -> None:
    group = find_channel_groups(Between(operation), images().float())[0]
    assert (group.name, group.removable, group.consumers) == ("conv1", True, ("conv2",))
    assert group.outputs["conv1"] == units


def test_refuses_a_view_of_which_the_width_is_a_number() -> None:
    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(2, 4, 8), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).view(-1, 4))

    assert "'view'" in find_channel_groups(Viewing(), images().float())[0].reason


def test_refuses_parameters_that_two_layers_share() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    model[1].weight = model[0].weight
    reasons = [group.reason for group in find_channel_groups(model, images().float())]
    assert reasons == [*["'0' and '1' share a parameter"] * 2, "it is an output of the network"]


def test_leaves_the_model_as_it_was() -> None:
    model = NETWORKS["residual"]().train()
    model.a1_bn.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    find_channel_groups(model, images().float())
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_refuses_a_model_that_branches_on_values() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    message = "'Branching' (model): needs a forward() that does not branch on values"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}"):
        find_channel_groups(Branching(), images().float())


def test_gates_of_groups_become_gates_of_modules() -> None:
    groups = tuple(_groups("dense").values())
    gates = {"conv1": torch.tensor([1.0, 2, 3]), "conv2": torch.tensor([[4.0, 5, 6, 7]] * 2)}
    spread = module_gates(groups, gates)
    assert operator.eq(list(spread), ["conv1", "bn", "conv4", "conv2"])
    assert spread["conv1"].tolist() == [1, 2, 3]
    assert spread["bn"].tolist() == [[1, 2, 3, 4, 5, 6, 7]] * 2
    assert spread["conv2"].tolist() == [[4, 5, 6, 7]] * 2
    assert module_gates(groups, {}) == {}


def test_images_of_any_type_do_and_those_of_another_shape_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, 1)).double()
    for kind in (torch.float32, torch.float64, torch.uint8):
        groups = find_channel_groups(model, torch.zeros(2, 2, 5, 5).to(kind))
        assert [group.name for group in groups] == ["0", "1"]
    message = "images of shape (2, 3, 5, 5) do not fit the model: '0' (Conv2d): Given groups=1"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}"):
        find_channel_groups(model, torch.zeros(2, 3, 5, 5))


def test_layers_that_no_output_depends_on_lose_the_inputs_that_others_lose() -> None:
    class Unread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.unread = nn.Conv2d(2, 6, 1), nn.Conv2d(3, 4, 1)
            self.head = nn.Linear(24, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.stem(x))
            self.unread(x.chunk(2, 1)[0])
            x.std()  # cannot be followed, and need not be
            pooled: Tensor = self.head(F.max_pool2d(x, 4).flatten(1))
            return pooled

    model, images = Unread().eval(), torch.rand(2, 2, 8, 8)
    groups = find_channel_groups(model, images)
    stem, unread, head = groups
    assert stem.name == "stem" and stem.removable and stem.size == 3
    assert stem.outputs["stem"] == (0, 1, 2, 0, 1, 2) and stem.gated == ("stem",)
    assert stem.inputs["unread"] == (0, 1, 2)
    assert unread.reason == "the network's outputs do not depend on it" and not head.removable
    masks = FilterMasks({"stem": torch.tensor([True, False, True])}, groups)
    small = remove_filters(model, masks, images)
    assert small.unread.in_channels == 2 and small.stem.out_channels == 4


def test_sizes_that_no_output_depends_on_still_have_to_fit() -> None:
    class Unread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(2, 6, 1), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.stem(x))
            x.view(len(x), 6, 64).softmax(2)
            pooled: Tensor = self.head(x.mean((2, 3)))
            return pooled

    stem, _ = find_channel_groups(Unread().eval(), torch.rand(2, 2, 8, 8))
    assert stem.name == "stem" and not stem.removable
