"""Images set aside, a fair share of each class."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from systolith.data.dataset import Dataset

__all__ = ["HeldOut", "draw_stratified", "hold_out"]


class HeldOut(NamedTuple):
    """A data set, and training images that it no longer has.

    Parameters
    ----------
    dataset : Dataset
        With the rest of the training images, and all test images.
    images : Tensor of float32, shape (count, C, H, W)
        To choose masks, densities or learning rates by.
    labels : Tensor of int64, shape (count,)
    """

    dataset: Dataset
    images: Tensor
    labels: Tensor


def hold_out(dataset: Dataset, count: int, seed: int) -> HeldOut:
    """Split images off the training part, as many of each class as its share of all.

    Parameters
    ----------
    dataset : Dataset
        Left as it is.
    count : int
        Images to hold out, 1 to one less than there are.
    seed : int
        Which ones. The same seed gives the same images.

    Returns
    -------
    HeldOut
        Both parts in the order that the images had.

    Raises
    ------
    ValueError
        If one of both parts would be empty, or a class would be left without training images.
    """
    images, labels = dataset.train_images, dataset.train_labels
    if not 0 < count < len(labels):
        raise ValueError(
            f"data set '{dataset.name}' has {len(labels)} training images, of which at least 1 "
            f"must be held out and 1 left, got count {count}"
        )
    held = draw_stratified(labels, count, seed)
    rest, drawn = labels[~held], labels[held]
    if lost := sorted(set(drawn.tolist()) - set(rest.tolist())):
        raise ValueError(
            f"holding out {count} images of data set '{dataset.name}' leaves no training images "
            f"of classes {lost}"
        )
    part = replace(dataset, train_images=images[~held], train_labels=rest)
    return HeldOut(part, images[held], drawn)


def draw_stratified(labels: Tensor, count: int, seed: int) -> Tensor:
    """Draw images at random, as many of each class as its share of all.

    Shares are rounded by the largest remainder: down, and up again for those that lose most, the
    lower class of equals first, until there are `count`.

    Parameters
    ----------
    labels : Tensor of int64, shape (N,)
    count : int
        0..N.
    seed : int
        Of the draw.

    Returns
    -------
    Tensor of bool, shape (N,)
        On the device of the labels. True for `count` images.
    """
    generator = torch.Generator().manual_seed(seed)
    values = labels.cpu()
    sizes = torch.bincount(values)
    shares, remainders = count * sizes // len(values), count * sizes % len(values)
    most = remainders.argsort(descending=True, stable=True)
    shares[most[: count - int(shares.sum())]] += 1
    drawn = torch.zeros(len(values), dtype=torch.bool)
    for label, share in enumerate(shares.tolist()):
        members = torch.nonzero(values == label).flatten()
        drawn[members[torch.randperm(len(members), generator=generator)[:share]]] = True
    return drawn.to(labels.device)
