"""Example networks, and checked loading of trained weights."""

from systolith.models.cifar_resnet import CifarResNet, resnet20, resnet56, resnet110
from systolith.models.deployed.autoencoder import DenseAutoencoder
from systolith.models.deployed.ecg import HeartbeatNet
from systolith.models.deployed.espcn import ESPCN
from systolith.models.deployed.jets import JetMLP
from systolith.models.deployed.mobilenet_v2 import MobileNetV2
from systolith.models.deployed.mobilenet_v3 import SmallMobileNetV3
from systolith.models.deployed.radioml import RadioVGG10
from systolith.models.deployed.squeezenet import SmallSqueezeNet
from systolith.models.deployed.unet import SmallUNet
from systolith.models.deployed.yolo import TinyYOLO
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
    "ESPCN",
    "CifarResNet",
    "CifarVGG",
    "DenseAutoencoder",
    "DigitsCNN",
    "HeartbeatNet",
    "JetMLP",
    "LeNet5",
    "LeNet300_100",
    "MobileNetV1",
    "MobileNetV2",
    "RadioVGG10",
    "ResNet8",
    "SmallMobileNetV3",
    "SmallSqueezeNet",
    "SmallUNet",
    "TinyResNet",
    "TinyYOLO",
    "WeightsError",
    "load_weights",
    "resnet20",
    "resnet56",
    "resnet110",
]
