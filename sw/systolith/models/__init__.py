"""Example networks."""

from systolith.models.cifar_resnet import CifarResNet, resnet20, resnet56, resnet110
from systolith.models.digits import DigitsCNN
from systolith.models.resnet import TinyResNet
from systolith.models.resnet8 import ResNet8
from systolith.models.vgg import CifarVGG
from systolith.models.weights import load_weights

__all__ = [
    "CifarResNet",
    "CifarVGG",
    "DigitsCNN",
    "ResNet8",
    "TinyResNet",
    "load_weights",
    "resnet20",
    "resnet56",
    "resnet110",
]
