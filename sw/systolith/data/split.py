"""Held-out training images, stratified by class if there are classes."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from systolith.data.dataset import DataError, Dataset
from systolith.data.targets import TargetKind

__all__ = ["HeldOut", "draw_stratified", "hold_out"]


class HeldOut(NamedTuple):
    """A data set, and training images that were taken from it.

    Parameters
    ----------
    dataset : Dataset
        With the rest of the training images, and all test images.
    images : Tensor of float32, shape (count, C, H, W)
        For the choice of masks, densities or learning rates.
    labels : Tensor, shape (count, ...)
        Their targets: classes, int64 of shape (count,), unless the data set says otherwise.
    """

    dataset: Dataset
    images: Tensor
    labels: Tensor


def hold_out(dataset: Dataset, count: int, seed: int) -> HeldOut:
    """Take images from the training part, from each class in proportion to its size.

    Without classes of whole images, they are drawn from all images alike.

    Parameters
    ----------
    dataset : Dataset
        Not changed.
    count : int
        Images to hold out; at least 1, and at least 1 must be left.
    seed : int
        The same seed gives the same images.

    Returns
    -------
    HeldOut
        Images of both parts keep their order.

    Raises
    ------
    DataError
        If a part would be empty, or a class would have no training images left.
    """
    images, labels = dataset.train_images, dataset.train_targets
    strata = labels
    if dataset.target is not TargetKind.CLASSES:
        strata = torch.zeros(len(labels), dtype=torch.int64)
    if not 0 < count < len(strata):
        problem = (
            f"data set '{dataset.name}' has {len(strata)} training images; at least 1 must be held "
            f"out and 1 left, got count {count}"
        )
        raise DataError([problem])
    held = draw_stratified(strata, count, seed)
    rest, drawn = strata[~held], strata[held]
    if lost := sorted(set(drawn.tolist()) - set(rest.tolist())):
        problem = (
            f"holding out {count} images of data set '{dataset.name}' leaves no training images "
            f"of classes {lost}"
        )
        raise DataError([problem])
    own = dataset.train_labels
    kept = own[~held] if len(own) else own
    part = replace(dataset, train_images=images[~held], train_labels=kept)
    return HeldOut(part, images[held], labels[held])


def draw_stratified(labels: Tensor, count: int, seed: int) -> Tensor:
    """Draw images at random, from each class in proportion to its size.

    Shares are rounded by the largest remainder method; ties go to the lower class.

    Parameters
    ----------
    labels : Tensor of int64, shape (N,)
    count : int
        0..N.
    seed : int

    Returns
    -------
    Tensor of bool, shape (N,)
        True for `count` images; on the device of the labels.
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
