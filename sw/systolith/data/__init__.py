"""Data sets as tensors."""

from systolith.data.augment import Augment, crop_and_flip, shift_images
from systolith.data.cifar10 import load_cifar10
from systolith.data.dataset import Dataset
from systolith.data.digits import load_digits

__all__ = [
    "Augment",
    "Dataset",
    "crop_and_flip",
    "load_cifar10",
    "load_digits",
    "shift_images",
]
