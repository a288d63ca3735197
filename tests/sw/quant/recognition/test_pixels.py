"""Vectors of linear layers that become images, as in decoders."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import Pattern, PerNeuron
from systolith.prune import MaskSet
from systolith.quant import prepare
from systolith.quant.recognition.operations import MatrixMultiply
from tests.support.written_models import IMAGES, Written, assert_computes_the_same, problems_of

SEEDED = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    "image",
    [
        lambda x: x.view(-1, 9, 4, 4),
        lambda x: x.unflatten(1, (9, 4, 4)),
        lambda x: x[:, :, None, None],
        nn.Unflatten(1, (16, 3, 3)),
        lambda x: F.relu(x.reshape(len(x), 36, 2, 2)),
        lambda x: torch.tanh(x).view(-1, 72, 2, 1),
    ],
)
def test_a_vector_of_a_linear_layer_becomes_an_image(image: Callable[[Tensor], Tensor]) -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        vector = m.normalize(m.linear(F.relu(m.a(x)).flatten(1)))
        return F.max_pool2d(image(m.second(vector)), 1)

    model = Written(forward)
    model.linear, model.second = nn.Linear(144, 7), nn.Linear(7, 144)
    model.normalize = nn.BatchNorm1d(7)
    layers = assert_computes_the_same(model)
    assert not any(isinstance(layer.operation, MatrixMultiply) for layer in layers)


def test_masks_of_such_a_linear_layer_have_its_shape() -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        return F.max_pool2d(m.second(m.fc(m.a(x).flatten(1)))[:, :, None, None], 1)

    model = Written(forward)
    model.second = nn.Linear(5, 8)
    pattern = Pattern(select=PerNeuron(3))
    mask = torch.stack([torch.randperm(5, generator=SEEDED) < 3 for _ in range(8)])
    masks = MaskSet({"second.weight": mask}, {"second.weight": pattern})
    quantized = prepare(model.eval(), IMAGES, masks=masks)
    assert torch.equal(quantized.layer("second").mask, mask[:, :, None, None])


@pytest.mark.parametrize("form", ["read twice", "the input", "a pool", "padded", "reduced"])
def test_other_images_of_vectors_are_refused_with_a_rewrite(form: str) -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        match form:
            case "read twice":
                x = m.fc(m.a(x).flatten(1))
                y = m.second(x)
                return F.max_pool2d(x[:, :, None, None], 1).flatten(1) + y
            case "the input":
                return F.max_pool2d(x.view(-1, 3, 4, 4), 2)
            case "reduced":
                return m.third(x).view(-1, 3, 2, 2).amax((2, 3))
            case "padded":
                return m.a(F.pad(m.third(x).view(-1, 3, 2, 2), (1, 0, 0, 1)))
            case _:
                return F.max_pool2d(m.a(x).flatten(1).view(-1, 36, 2, 2), 1)

    model = Written(forward)
    model.second, model.third = nn.Linear(5, 5), nn.Linear(48, 12)
    images = torch.rand(6, 48) if form in ("the input", "padded", "reduced") else IMAGES
    problems = problems_of(model, images)
    assert any("makes an image of a vector; write a Linear" in text for text in problems)


def test_the_rewrite_of_a_decoder_is_understood() -> None:
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 4))
    decoder = nn.Sequential(nn.ConvTranspose2d(6, 4, 4), nn.ReLU(), nn.Conv2d(4, 3, 1))
    assert_computes_the_same(nn.Sequential(encoder, decoder))
