"""Data sets as tensors: digits, MNIST, CIFAR-10, image folders, arrays; targets of any kind."""

from systolith.data.arrays import load_arrays
from systolith.data.augment import (
    Augment,
    FiniteAugment,
    RandomCrop,
    crop_and_flip,
    shift_images,
)
from systolith.data.chain import (
    augment_images,
    augment_problems,
    augment_warnings,
    combine_augments,
)
from systolith.data.cifar10 import load_cifar10
from systolith.data.cutout import Cutout
from systolith.data.dataset import CALIBRATION_IMAGES, DataError, Dataset
from systolith.data.digits import load_digits
from systolith.data.image_folder import load_image_files, load_image_folder
from systolith.data.mixup import MixingAugment, MixUp
from systolith.data.mnist import load_fashion_mnist, load_mnist
from systolith.data.normalization import COLOURS, Colours
from systolith.data.split import HeldOut, hold_out
from systolith.data.targets import UNKNOWN_CLASS, TargetKind

__all__ = [
    "CALIBRATION_IMAGES",
    "COLOURS",
    "UNKNOWN_CLASS",
    "Augment",
    "Colours",
    "Cutout",
    "DataError",
    "Dataset",
    "FiniteAugment",
    "HeldOut",
    "MixUp",
    "MixingAugment",
    "RandomCrop",
    "TargetKind",
    "augment_images",
    "augment_problems",
    "augment_warnings",
    "combine_augments",
    "crop_and_flip",
    "hold_out",
    "load_arrays",
    "load_cifar10",
    "load_digits",
    "load_fashion_mnist",
    "load_image_files",
    "load_image_folder",
    "load_mnist",
    "shift_images",
]
