"""Calls that are recorded as the simpler calls that they are made of, and what becomes of them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    MaxPool2d,
    Multiply,
    Pad2d,
    SelectChannels,
    Table,
    Upsample,
    trace,
)
from systolith.quant import UnsupportedModelError, prepare
from systolith.trace import record

IMAGES = torch.rand(16, 3, 6, 6, generator=torch.Generator().manual_seed(0))

Combine = Callable[[Tensor, Tensor], Tensor]


class TwoBranches(nn.Module):
    """Two convolutions, what combines them, and a third one."""

    def __init__(self, combine: Combine) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.last, self.combine = nn.Conv2d(4, 2, 3), combine

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.combine(F.relu(self.a(x)), self.b(x)))
        return y


class Taken(nn.Module):
    """A function as a module."""

    def __init__(self, take: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.take = take

    def forward(self, x: Tensor) -> Tensor:
        return self.take(x)


def kinds_of(combine: Combine) -> list[type]:
    """Lower a model with two branches, which every way of computing it agrees on."""
    torch.manual_seed(0)
    model = TwoBranches(combine).eval()
    quantized = prepare(model, IMAGES).eval()
    network, integer = lower(quantized), IntegerModel(quantized)
    images = integer.quantize_input(IMAGES)
    golden, own = trace(network, images), integer.trace(images)
    assert all(np.array_equal(golden[name], own[name]) for name in golden)
    with torch.no_grad():
        wanted = model(IMAGES.clone())
        assert (quantized(IMAGES) - wanted).abs().max() < 0.05 * wanted.abs().max()
    return [type(layer) for layer in network.layers]


def subtract_in_place(a: Tensor, b: Tensor) -> Tensor:
    a -= b
    return a


@pytest.mark.parametrize(
    "combine",
    [
        subtract_in_place,
        lambda a, b: torch.rsub(a, b),
        lambda a, b: a.sub_(b, alpha=0.5),
        lambda a, b: torch.add(a, b, alpha=2),
    ],
)
def test_an_operand_that_is_scaled_becomes_a_table(combine: Combine) -> None:
    kinds = kinds_of(combine)
    assert (kinds.count(Add), kinds.count(Table)) == (1, 1)


@pytest.mark.parametrize(
    ("combine", "additions"),
    [
        (lambda a, b: torch.stack([a, b, a]).sum(0), 2),
        (lambda a, b: torch.stack((a, b), 1).mean(1), 1),
        (lambda a, b: torch.sum(torch.stack([a, b], dim=-1), dim=(-1,)), 1),
    ],
)
def test_a_stack_that_is_summed_is_an_addition(combine: Combine, additions: int) -> None:
    kinds = kinds_of(combine)
    assert (kinds.count(Add), kinds.count(Table)) == (additions, 0)


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b: F.pad(a + b, (1, 1, 1, 1), value=1.0),
        lambda a, b: nn.ConstantPad2d((0, 1, 2, 0), 0.5)(a),
    ],
)
def test_a_border_of_any_number_is_one_of_zeros(combine: Combine) -> None:
    kinds = kinds_of(combine)
    assert (kinds.count(Pad2d), kinds.count(Table)) == (1, 1)


@pytest.mark.parametrize(
    "take",
    [
        lambda x: x[:, :, -1],
        lambda x: x[..., 2, :],
        lambda x: x[:, :, 1:, 0],
        lambda x: x.select(3, -2),
        lambda x: torch.select(x, 2, 0),
        lambda x: x[:, :, 3, 4],
    ],
)
def test_one_row_or_column_is_cut_out(take: Callable[[Tensor], Tensor]) -> None:
    model = TwoBranches(lambda a, b: a)
    model.last = nn.Identity()
    model = nn.Sequential(model, Taken(take)).eval()
    quantized = prepare(model, IMAGES).eval()
    with torch.no_grad():
        wanted, got = model(IMAGES), quantized(IMAGES)
    assert got.shape == wanted.shape
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 0.02
    kinds = [type(layer) for layer in lower(quantized).layers]
    assert kinds in ([Conv2d, Pad2d], [Conv2d, Pad2d, Flatten])


def test_functions_of_one_tensor_are_one_table() -> None:
    for combine in (lambda a, b: a - a * torch.sigmoid(a), lambda a, b: a - a * 0.5):
        kinds = kinds_of(combine)
        assert (kinds.count(Add), kinds.count(Table)) == (0, 1)


def test_straight_lines_between_pixels_are_averages_of_repeated_ones() -> None:
    grow = nn.Upsample(scale_factor=(2, 3), mode="bilinear")
    for combine in (
        lambda a, b: a + F.interpolate(F.max_pool2d(b, (2, 3)), a.shape[2:], mode="bilinear"),
        lambda a, b: a + grow(F.max_pool2d(b, (2, 3))),
    ):
        kinds = kinds_of(combine)
        assert (kinds.count(Upsample), kinds.count(Pad2d), kinds.count(AvgPool2d)) == (1, 1, 1)


def test_what_is_repeated_by_a_call_of_its_own_is_an_upsampling() -> None:
    for gate in (
        lambda a, b: a * torch.sigmoid(b.mean((2, 3), keepdim=True)).expand_as(a),
        lambda a, b: a * torch.sigmoid(b.mean((2, 3), keepdim=True)).expand(a.size()),
        lambda a, b: a + b.mean(3, keepdim=True).expand(-1, -1, -1, 6),
    ):
        kinds = kinds_of(gate)
        assert (kinds.count(Upsample), kinds.count(Multiply) + kinds.count(Add)) == (1, 1), kinds
    assert kinds_of(lambda a, b: a * b[:, :1].expand_as(a)).count(SelectChannels) == 1


def test_a_maximum_along_an_axis_is_a_pool() -> None:
    greatest = [
        lambda a, b: torch.max(torch.max(a + b, 3, keepdim=True)[0], dim=2, keepdim=True).values,
        lambda a, b: (a + b).max(dim=3, keepdim=True)[0].amax(2, keepdim=True),
    ]
    for combine in greatest:
        model = nn.Sequential(TwoBranches(combine))
        model[0].last = nn.Conv2d(4, 2, 1)
        assert [type(layer) for layer in lower(prepare(model.eval(), IMAGES)).layers].count(
            MaxPool2d
        ) == 2


def test_values_are_those_of_the_call() -> None:
    forms: list[Combine] = [
        lambda a, b: a - b,
        lambda a, b: torch.subtract(a, b, alpha=3),
        lambda a, b: a.add(b, alpha=-1),
        lambda a, b: torch.stack([a, b]).sum(0),
        lambda a, b: F.pad(a, (1, 2, 0, 1), "constant", -2.0),
        lambda a, b: F.pad(a, (1, 2, 0, 1), "constant", 0),
        lambda a, b: F.interpolate(a, scale_factor=2, mode="bilinear"),
        lambda a, b: nn.Upsample(scale_factor=(3.0, 4.0), mode="bilinear")(a),
        lambda a, b: F.interpolate(a, (a.shape[2] * 5, a.shape[3]), mode="bilinear"),
        lambda a, b: a.mean((2, 3), keepdim=True).expand_as(b),
        lambda a, b: b[:, :1].mean(3, keepdim=True).expand(-1, 4, a.shape[2], 6),
        lambda a, b: torch.broadcast_to(a[:, :1], b.shape),
        lambda a, b: torch.max(a, dim=3, keepdim=True).values + b,
    ]
    for form in forms:
        model = TwoBranches(form).eval()
        recording = record(model, IMAGES)
        assert not recording.problems
        (output,) = recording.outputs
        wanted = model(IMAGES[:2])
        assert torch.allclose(recording.values[output], wanted, atol=1e-6)


def test_other_sums_of_a_stack_and_borders_are_refused() -> None:
    for combine, reason in [
        (lambda a, b: torch.stack([a, b]).amax(0), "function stack"),
        (lambda a, b: torch.stack([a, b]).sum(2)[0], "function stack"),
        (lambda a, b: F.pad(a, (1, 1, 1, 1), mode="reflect"), "needs to pad with zeros"),
        (
            lambda a, b: F.interpolate(a, scale_factor=2.0, mode="bilinear", align_corners=True),
            "with align_corners=False and whole factors, or a trained.* got align_corners=True",
        ),
        (lambda a, b: F.interpolate(a, scale_factor=1.5, mode="bilinear"), "and whole factors"),
        (lambda a, b: F.interpolate(a, scale_factor=2.0, mode="bicubic"), "needs mode 'nearest'"),
    ]:
        with pytest.raises(UnsupportedModelError, match=reason):
            prepare(TwoBranches(combine).eval(), IMAGES)
