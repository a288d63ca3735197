"""Data sets as tensors."""

from systolith.data.augment import Augment, shift_images
from systolith.data.dataset import Dataset
from systolith.data.digits import load_digits

__all__ = ["Augment", "Dataset", "load_digits", "shift_images"]
