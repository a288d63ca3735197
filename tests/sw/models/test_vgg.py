import torch
from torch import nn

from systolith.models import CifarVGG


def test_has_the_layers_of_the_paper() -> None:
    layers = list(CifarVGG().features)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    filters = [(layer.in_channels, layer.out_channels) for layer in convolutions]
    assert filters == [(3, 128), (128, 128), (128, 128), (128, 128), (128, 256), (256, 256)]
    assert all(layer.kernel_size == (3, 3) and layer.padding == (1, 1) for layer in convolutions)
    kinds = "".join(type(layer).__name__[0] for layer in layers)
    assert kinds == "CBRCBRM" * 3, "convolution, batch norm, ReLU; a max pool after two of them"


def test_the_width_scales_every_convolution() -> None:
    model = CifarVGG(classes=3, width=8).eval()
    filters = [layer.out_channels for layer in model.features if isinstance(layer, nn.Conv2d)]
    assert filters == [8, 8, 8, 8, 16, 16]
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
