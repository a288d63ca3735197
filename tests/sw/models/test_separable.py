import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from systolith.models import DSCNN, MobileNetV1, ResNet8
from systolith.models._blocks import SeparableConv


def _pad_same(x: Tensor, kernel: tuple[int, int], stride: int) -> Tensor:
    """Pad as TensorFlow defines "same": ceil(size / stride) outputs, the odd pixel at the end."""
    padding = []
    for size, taps in zip(x.shape[:1:-1], kernel[::-1], strict=True):
        whole = max((-(-size // stride) - 1) * stride + taps - size, 0)
        padding += [whole // 2, whole - whole // 2]
    return F.pad(x, padding)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_separable_convolution_pads_as_tensorflow(stride: int) -> None:
    block = SeparableConv(3, 5, stride).eval()
    x = torch.randn(2, 3, 8, 12)
    depthwise, pointwise = block.depthwise, block.pointwise
    y = _pad_same(x, (3, 3), stride)
    y = F.conv2d(y, depthwise.weight, depthwise.bias, stride, groups=3)
    y = F.conv2d(F.relu(block.bn1(y)), pointwise.weight, pointwise.bias)
    assert torch.equal(block(x), F.relu(block.bn2(y)))
    assert block(x).shape == (2, 5, 8 // stride, 12 // stride)


def test_strided_first_convolutions_pad_as_tensorflow() -> None:
    spectrograms, images = torch.randn(2, 1, 49, 10), torch.randn(2, 3, 96, 96)
    words, persons = DSCNN(), MobileNetV1()
    assert torch.equal(words.pad(spectrograms), _pad_same(spectrograms, (10, 4), 2))
    assert words.conv(words.pad(spectrograms)).shape == (2, 64, 25, 5)
    assert torch.equal(persons.pad(images), _pad_same(images, (3, 3), 2))
    assert persons.conv(persons.pad(images)).shape == (2, 8, 48, 48)


def test_mobilenet_shrinks_images_32_times_and_doubles_filters() -> None:
    model = MobileNetV1().eval()
    x = model.conv(model.pad(torch.zeros(1, 3, 96, 96)))
    shapes = []
    for block in model.blocks:
        x = block(x)
        shapes.append((x.shape[1], x.shape[2]))
    assert shapes == [
        *((16, 48), (32, 24), (32, 24), (64, 12), (64, 12)),
        *((128, 6),) * 6,
        *((256, 3), (256, 3)),
    ]


def test_mobilenet_takes_other_widths_and_sizes() -> None:
    model = MobileNetV1(classes=7, width=4).eval()
    assert model(torch.zeros(2, 3, 32, 64)).shape == (2, 7)


def test_batch_norms_of_tensorflow_networks_have_its_epsilon() -> None:
    for model in (DSCNN(), MobileNetV1(), ResNet8()):
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert norms and all(norm.eps == 1e-3 for norm in norms)


def test_dropout_acts_at_two_places_in_training_only() -> None:
    model, x, shares = DSCNN(), torch.rand(64, 1, 49, 10), []

    def measure(_: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        kept = inputs[0] != 0
        shares.append(float((output[kept] == 0).float().mean()))

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(measure)
    model.train()(x)
    model.eval()(x)
    assert [round(share, 2) for share in shares] == [0.2, 0.4, 0.0, 0.0]
