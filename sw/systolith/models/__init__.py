"""Example networks, and checked loading of trained weights."""

from systolith.models.cifar_resnet import CifarResNet, resnet20, resnet56, resnet110
from systolith.models.digits import DigitsCNN
from systolith.models.ds_cnn import DSCNN
from systolith.models.lenet import LeNet5, LeNet300_100
from systolith.models.mobilenet import MobileNetV1
from systolith.models.resnet8 import ResNet8
from systolith.models.state_dicts import WeightsError
from systolith.models.tiny_resnet import TinyResNet
from systolith.models.vgg import CifarVGG
from systolith.models.weights import load_weights

__all__ = [
    "DSCNN",
    "CifarResNet",
    "CifarVGG",
    "DigitsCNN",
    "LeNet5",
    "LeNet300_100",
    "MobileNetV1",
    "ResNet8",
    "TinyResNet",
    "WeightsError",
    "load_weights",
    "resnet20",
    "resnet56",
    "resnet110",
]
