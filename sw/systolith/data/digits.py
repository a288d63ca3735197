"""Handwritten digits of scikit-learn, which need no download."""

import numpy as np
import torch
from sklearn.datasets import load_digits as load_bundled_digits
from sklearn.model_selection import train_test_split

from systolith.data.dataset import Dataset

__all__ = ["load_digits"]


def load_digits(seed: int = 0) -> Dataset:
    """Load 1797 handwritten digits of 8x8 pixels; a third of each class is held out for testing.

    Parameters
    ----------
    seed : int
        Seed of the split.

    Returns
    -------
    Dataset
        1198 training and 599 test images of shape (1, 8, 8), pixels 0, 1/16, .. 1.

    Notes
    -----
    Alpaydin, Kaynak: Optical recognition of handwritten digits (UCI repository, 1998), its test
    part.
    """
    bundled = load_bundled_digits()
    images = (bundled.images[:, None] / 16).astype(np.float32)
    labels = bundled.target.astype(np.int64)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=1 / 3, stratify=labels, random_state=seed
    )
    return Dataset(
        name="digits",
        train_images=torch.from_numpy(images[train]),
        train_labels=torch.from_numpy(labels[train]),
        test_images=torch.from_numpy(images[test]),
        test_labels=torch.from_numpy(labels[test]),
    )
