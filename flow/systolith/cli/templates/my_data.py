"""Your images: a function that returns a ``Dataset``. This one reads handwritten digits."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from systolith.data import Dataset

TEST_IMAGES = 360


def load_data() -> Dataset:
    """Load all images into memory. The experiment file names this function.

    Images are float32 of shape (N, channels, height, width), labels int64 of shape (N,) that count
    from 0. Pixels of 0..1 are best: quantization then needs no sign.
    """
    digits = load_digits()
    images = torch.tensor(digits.images[:, np.newaxis] / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target, dtype=torch.int64)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return Dataset(
        name="my digits",
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )
