"""Functions that are called with weights, and modules that are called again."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.network import KOutOfN, Pattern, trace
from systolith.prune import MaskSet, find_channel_groups
from systolith.quant import LayerBits, QuantConfig, UnsupportedModelError, prepare
from systolith.quant.bit_operations import layer_operations
from tests.support.written_models import IMAGES, Written, assert_computes_the_same, problems_of


class Functional(nn.Module):
    """Layers without modules."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Parameter(torch.randn(8, 3, 3, 3) / 5)
        self.bias = nn.Parameter(torch.randn(8) / 10)
        self.grouped = nn.Parameter(torch.randn(8, 4, 3, 3) / 5)
        self.register_buffer("blur", torch.ones(8, 1, 3, 3) / 9)
        self.register_buffer("mean", torch.rand(8))
        self.register_buffer("variance", torch.rand(8) + 0.5)
        self.scale, self.shift = nn.Parameter(torch.rand(8) + 0.5), nn.Parameter(torch.rand(8))
        self.head, self.head_bias = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(6))
        self.projection = nn.Parameter(torch.randn(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.first, self.bias, padding=1)
        x = F.relu(F.batch_norm(x, self.mean, self.variance, self.scale, self.shift, eps=1e-3))
        x = F.conv2d(input=x, weight=self.blur, stride=(2, 2), padding=1, groups=8)
        standardized = self.grouped - self.grouped.mean((1, 2, 3), keepdim=True)
        x = torch.conv2d(x, standardized, None, 1, 1, 1, 2).relu_()
        return F.linear(x.mean([2, 3]), self.head, self.head_bias) @ self.projection


def test_functions_own_the_weights_that_they_are_called_with() -> None:
    model = Functional()
    layers = assert_computes_the_same(model)
    assert [layer.name for layer in layers if layer.norm] == ["conv2d"]
    quantized = prepare(model, IMAGES).eval()
    network, integers = lower(quantized), IntegerModel(quantized)
    images = integers.quantize_input(IMAGES)
    golden, mirrored = trace(network, images), integers.trace(images)
    assert golden.keys() == mirrored.keys()
    assert all(np.array_equal(golden[name], mirrored[name]) for name in golden)
    trained = {
        name: quantized.layer(name).weight.requires_grad
        for name in ("conv2d", "conv2d_1", "conv2d_2", "linear", "matmul")
    }
    assert trained.pop("conv2d_1") is False, "a buffer is no parameter"
    assert all(trained.values())


def test_channels_around_functions_with_weights_are_kept() -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        return F.conv2d(m.a(x), m.c.weight)

    model = Written(forward).eval()
    (group,) = [group for group in find_channel_groups(model, IMAGES) if "a" in group.producers]
    assert group.reason == "it meets 'c' (conv2d), through which channels cannot be followed"


@pytest.mark.parametrize(
    ("forward", "problem"),
    [
        (
            lambda m, x: F.conv2d(m.a(x), m.c.weight * x.mean()),
            "'conv2d' (function conv2d): needs weights that do not depend on the images",
        ),
        (
            lambda m, x: F.batch_norm(m.a(x), None, None, training=True),
            (
                "'batch_norm' (function batch_norm): needs training=False; put the model into "
                "evaluation mode before it is exported"
            ),
        ),
        (
            lambda m, x: F.linear(m.a(x).flatten(1), m.fc.weight * m.a(x).sum()),
            "'linear' (function linear): needs weights that do not depend on the images",
        ),
    ],
)
def test_weights_that_depend_on_the_images_are_refused(
    forward: Callable[[Written, Tensor], Tensor], problem: str
) -> None:
    assert problem in problems_of(Written(forward))


def _twice(m: Written, x: Tensor) -> Tensor:
    return F.relu(m.c(F.relu(m.c(m.a(x)))))


def test_a_layer_that_is_called_again_has_its_masks_and_bits_in_each_call() -> None:
    model = Written(_twice).eval()
    mask = torch.arange(16).reshape(4, 4, 1, 1) % 2 > 0
    masks = MaskSet({"c.weight": mask}, {"c.weight": Pattern(select=KOutOfN(1, 2))})
    config = QuantConfig(layers={"c": LayerBits(weight_bits=4)})
    with pytest.warns(UserWarning, match=r"^'c' \(Conv2d\) is called 2 times: each call"):
        quantized = prepare(model, IMAGES, config, masks)
    assert quantized.origins == {"a": "a", "c": "c", "c_1": "c_1"}
    assert [quantized.layer(n).weight_quantizer.bits for n in ("a", "c", "c_1")] == [8, 4, 4]
    assert all(torch.equal(quantized.layer(n).mask, mask) for n in ("c", "c_1"))
    with pytest.raises(UnsupportedModelError, match=r"'c_1': needs a module that is called once"):
        layer_operations(model, (), IMAGES)
