import torch
from torch.nn import functional as F

from systolith.models import LeNet5, LeNet300_100


def test_lenet_300_100_is_two_hidden_layers() -> None:
    model, images = LeNet300_100(), torch.rand(3, 1, 28, 28)
    x = images.reshape(3, 784)
    for layer in (model.fc1, model.fc2):
        x = F.linear(x, layer.weight, layer.bias).clamp_min(0)
    assert torch.equal(model(images), F.linear(x, model.fc3.weight, model.fc3.bias))
    assert [layer.out_features for layer in (model.fc1, model.fc2, model.fc3)] == [300, 100, 10]


def test_lenet_5_is_two_convolutions_with_pools_and_two_linear_layers() -> None:
    model, x = LeNet5().eval(), torch.rand(3, 1, 28, 28)
    logits = model(x)
    for layer in (model.conv1, model.conv2):
        x = F.max_pool2d(F.conv2d(x, layer.weight, layer.bias).clamp_min(0), 2)
    x = F.linear(x.flatten(1), model.fc1.weight, model.fc1.bias).clamp_min(0)
    assert torch.equal(logits, F.linear(x, model.fc2.weight, model.fc2.bias))
    shapes = [tuple(weight.shape) for weight in model.parameters() if weight.ndim > 1]
    assert shapes == [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]


def test_the_number_of_classes_can_be_chosen() -> None:
    images = torch.rand(2, 1, 28, 28)
    assert LeNet5(classes=47)(images).shape == LeNet300_100(classes=47)(images).shape == (2, 47)
