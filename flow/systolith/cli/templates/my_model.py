"""Your network: any ``nn.Module`` of convolutions, pools, additions and linear layers."""

from collections import OrderedDict

from torch import nn


def make_model() -> nn.Module:
    """Make the network, with fresh weights. The experiment file names this function."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3, padding=1, bias=False),
            norm1=nn.BatchNorm2d(8),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 16, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(16),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc=nn.Linear(16 * 2 * 2, 10),
        )
    )
