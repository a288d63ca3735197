"""Two classes that any classifier tells apart, and a small classifier."""

import torch
from torch import nn

from systolith.data import Dataset

__all__ = ["make_classifier", "make_halves"]


def make_halves() -> Dataset:
    """Make images that are bright in the left or in the right half."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 2
    images = torch.rand(100, 1, 4, 4, generator=generator) * 0.4
    images[labels == 0, :, :, :2] += 0.5
    images[labels == 1, :, :, 2:] += 0.5
    return Dataset(
        name="halves",
        train_images=images[:70],
        train_labels=labels[:70],
        test_images=images[70:],
        test_labels=labels[70:],
    )


def make_classifier() -> nn.Sequential:
    """Make a convolution, a batch norm and a linear layer, always with the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(16, 2),
        )
