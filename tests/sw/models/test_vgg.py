import torch
from torch import nn

from systolith.models import CifarVGG


def test_has_the_layers_of_the_paper() -> None:
    layers = list(CifarVGG().features)
    convolutions = [each for each in layers if isinstance(each, nn.Conv2d)]
    filters = [(each.in_channels, each.out_channels) for each in convolutions]
    assert filters == [(3, 128), (128, 128), (128, 128), (128, 128), (128, 256), (256, 256)]
    assert all(each.kernel_size == (3, 3) and each.padding == (1, 1) for each in convolutions)
    kinds = "".join(type(each).__name__[0] for each in layers)
    assert kinds == "CBRCBRM" * 3, "convolution, batch norm, ReLU; a max pool after two of them"


def test_the_width_scales_every_convolution() -> None:
    model = CifarVGG(classes=3, width=8).eval()
    filters = [each.out_channels for each in model.features if isinstance(each, nn.Conv2d)]
    assert filters == [8, 8, 8, 8, 16, 16]
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
