"""Checks of every example network: size, shape, tracing, quantization, seed."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, fx, nn

from systolith.models import (
    DSCNN,
    CifarVGG,
    DigitsCNN,
    LeNet5,
    LeNet300_100,
    MobileNetV1,
    ResNet8,
    TinyResNet,
    resnet20,
    resnet56,
    resnet110,
)
from systolith.quant import prepare


@dataclass(frozen=True)
class Network:
    make: Callable[..., nn.Module]
    image: tuple[int, int, int]
    classes: int
    trained: int
    statistics: int
    """Number of running means and variances."""
    macs: int
    """MACs of trained weights."""

    def images(self, count: int) -> Tensor:
        return torch.rand(count, *self.image, generator=torch.Generator().manual_seed(0))


NETWORKS = {
    "digits": Network(DigitsCNN, (1, 8, 8), 10, 15_418, 160, 452_864),
    "tiny resnet": Network(TinyResNet, (1, 8, 8), 10, 5_482, 160, 310_688),
    # Han et al. (2015): 267 K and 431 K.
    "lenet-300-100": Network(LeNet300_100, (1, 28, 28), 10, 266_610, 0, 266_200),
    "lenet-5": Network(LeNet5, (1, 28, 28), 10, 431_080, 0, 2_293_000),
    # What Keras counts for MLPerf Tiny's references: 24,908, 221,794 and 78,666 in all.
    "ds-cnn": Network(DSCNN, (1, 49, 10), 12, 23_756, 1_152, 2_656_768),
    "mobilenet": Network(MobileNetV1, (3, 96, 96), 2, 216_322, 5_472, 7_489_664),
    "resnet-8": Network(ResNet8, (3, 32, 32), 10, 78_186, 480, 12_501_632),
    # As the authors of the given weights count: 269,722, 853,018 and 1,727,962.
    "resnet-20": Network(resnet20, (3, 32, 32), 10, 269_722, 1_376, 40_551_040),
    "resnet-56": Network(resnet56, (3, 32, 32), 10, 853_018, 4_064, 125_485_696),
    "resnet-110": Network(resnet110, (3, 32, 32), 10, 1_727_962, 8_096, 252_887_680),
    "vgg": Network(CifarVGG, (3, 32, 32), 10, 2_384_010, 2_048, 287_705_600),
}

networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())


@networks
def test_has_the_published_number_of_parameters(network: Network) -> None:
    model = network.make()
    assert (
        sum(tensor.numel() for tensor in model.parameters() if tensor.requires_grad)
        == network.trained
    )
    statistics = [tensor for tensor in model.buffers() if tensor.is_floating_point()]
    assert sum(tensor.numel() for tensor in statistics) == network.statistics


@networks
def test_maps_images_to_logits_with_so_many_multiplications(network: Network) -> None:
    model, macs = network.make().eval(), 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal macs
        weight = layer.get_parameter("weight")
        macs += output[0].numel() * weight[0].numel() * weight.requires_grad

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        assert model(network.images(2)).shape == (2, network.classes)
    assert macs == network.macs


@networks
def test_signals_neither_vanish_nor_explode_at_first(network: Network) -> None:
    with torch.no_grad():
        logits = network.make().train()(network.images(8))
    assert 0.01 < logits.std() < 10


@networks
def test_can_be_traced(network: Network) -> None:
    model = network.make().eval()
    images = network.images(2)
    with torch.no_grad():
        assert torch.equal(fx.symbolic_trace(model)(images), model(images))


@networks
def test_can_be_quantized(network: Network) -> None:
    model, images = network.make().eval(), network.images(2)
    quantized = prepare(model, images).eval()
    with torch.no_grad():
        assert quantized(images).shape == (2, network.classes)


@networks
def test_the_seed_decides_the_weights_and_leaves_the_global_one_alone(network: Network) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (network.make(seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    weights = [name for name in first if name.endswith("weight") and first[name].ndim > 1]
    fixed = [name for name in weights if "shortcut" in name and network.make is not ResNet8]
    assert all(not torch.equal(first[name], other[name]) for name in set(weights) - set(fixed))


@networks
def test_every_trained_parameter_gets_a_gradient(network: Network) -> None:
    model = network.make().train()
    model(network.images(2)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
