"""Targets of each kind: their checks, and what moves with the images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from systolith.data import (
    UNKNOWN_CLASS,
    Cutout,
    DataError,
    Dataset,
    MixUp,
    TargetKind,
    augment_problems,
    combine_augments,
    hold_out,
    load_arrays,
    load_digits,
    shift_images,
)
from systolith.data.pairs import augment_pairs, move_targets

IMAGES = torch.rand(6, 1, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "labels", "problem"),
    [
        ("classes", torch.zeros(6, 4, 5).long(), r"int64 of shape \(6,\), got torch.int64"),
        ("pixel-classes", torch.zeros(6).long(), r"int64 of shape \(6, H, W\) or \(6, L\)"),
        ("pixel-classes", torch.zeros(6, 4, 5), r"classes of pixels, got torch.float32"),
        ("values", torch.zeros(6).long(), r"float32 of shape \(6, \.\.\.\), got torch.int64"),
        ("values", torch.zeros(5, 2), r"float32 of shape \(6, \.\.\.\), got .* \(5, 2\)"),
        ("input", torch.zeros(6).long(), "train_labels must be left out, as the images are"),
    ],
)
def test_labels_have_the_type_and_shape_of_their_kind(
    kind: str, labels: torch.Tensor, problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        Dataset(
            name="wrong",
            train_images=IMAGES,
            train_labels=labels,
            test_images=IMAGES,
            test_labels=labels,
            target=TargetKind(kind),
        )


def test_anomalies_are_ones_among_zeros() -> None:
    parts = {"train_images": IMAGES, "test_images": IMAGES, "target": TargetKind.INPUT}
    data = Dataset(name="sounds", **parts, test_labels=torch.arange(6) % 2)
    assert data.has_targets and torch.equal(data.train_targets, IMAGES)
    with pytest.raises(DataError, match="0 for normal images and 1 for anomalies"):
        Dataset(name="sounds", **parts, test_labels=torch.arange(6))
    digits = load_digits().to_reconstruct()
    assert not digits.has_labels and torch.equal(digits.test_targets, digits.test_images)


@pytest.mark.parametrize("kind", TargetKind)
def test_held_out_images_keep_their_targets(kind: TargetKind) -> None:
    labels = {
        TargetKind.CLASSES: torch.arange(6) % 2,
        TargetKind.PIXEL_CLASSES: (IMAGES[:, 0] > 0.5).long(),
        TargetKind.VALUES: IMAGES.mean((1, 2, 3)),
        TargetKind.INPUT: torch.zeros(0, dtype=torch.int64),
    }[kind]
    data = Dataset(
        name="own",
        train_images=IMAGES,
        train_labels=labels,
        test_images=IMAGES,
        test_labels=labels,
        target=kind,
    )
    held = hold_out(data, 2, seed=1)
    assert len(held.images) == 2 and len(held.dataset.train_images) == 4
    for images, targets in (held[1:], (held.dataset.train_images, held.dataset.train_targets)):
        for image, target in zip(images, targets, strict=True):
            (place,) = torch.nonzero((IMAGES == image).flatten(1).all(1)).flatten()
            assert torch.equal(target, data.train_targets[place])


def test_classes_of_pixels_move_with_them() -> None:
    classes = (IMAGES[:, 0] > 0.5).long()
    classes[0, 1, 2] = UNKNOWN_CLASS
    variants = torch.arange(6)  # each row and column shift of -1, and of 0
    moved = move_targets(classes, shift_images, variants)
    wanted = shift_images.apply(classes[:, None].float() + 200, variants)[:, 0].long() - 200
    assert torch.equal(moved, torch.where(wanted == -200, UNKNOWN_CLASS, wanted))
    values = move_targets(IMAGES, shift_images, variants)
    assert torch.equal(values, shift_images.apply(IMAGES, variants))


def test_mixed_and_moved_pairs_stay_pairs() -> None:
    chain = combine_augments([MixUp(), shift_images, Cutout(size=1)])
    generator = torch.Generator().manual_seed(3)
    images, targets = augment_pairs(IMAGES, IMAGES.clone(), chain, generator, moves=True)
    erased = images == 0
    assert torch.equal(images[~erased], targets[~erased])
    assert 6 <= int(erased.sum()) and not torch.equal(images, targets)
    one_hot = TargetKind.PIXEL_CLASSES.as_real(torch.tensor([[[1, UNKNOWN_CLASS]]]), 3)
    assert one_hot.flatten().tolist() == [0, 0, 1, 0, 0, 0]


def test_augmentation_that_may_part_pixels_from_their_targets_is_refused() -> None:
    def flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return images.flip(3)

    assert not [*augment_problems(combine_augments([MixUp(), Cutout()]), (1, 4, 5), (8, 10))]
    (problem,) = augment_problems(flip, (1, 4, 5), (4, 5))
    assert problem.endswith("make it a MixingAugment, whose mix() changes both")
    (problem,) = augment_problems(shift_images, (1, 4, 5), (8, 10))
    assert problem.endswith("needs targets of 4x5 as the images, got 8x10")


def test_archives_hold_targets_of_any_kind(tmp_path: Path) -> None:
    path, x = tmp_path / "own.npz", IMAGES.numpy()
    larger = (x.repeat(2, 2).repeat(2, 3) * 255).astype(np.uint8)
    np.savez(path, train_x=x, train_y=larger, test_x=x[:2], test_y=larger[:2])
    data = load_arrays(path, target=TargetKind.VALUES)
    assert torch.equal(data.test_labels, torch.from_numpy(larger[:2]).float() / 255)
    with pytest.raises(DataError, match=r"train_y must be integers of shape \(6,\), got uint8"):
        load_arrays(path)
    np.savez(path, train_x=x, train_y=larger[:, 0], test_x=x, test_y=larger[:, 0])
    data = load_arrays(path, target=TargetKind.PIXEL_CLASSES)
    assert data.train_labels.shape == (6, 8, 10) and data.train_labels.dtype == torch.int64
    np.savez(path, train_x=x, test_x=x)
    assert load_arrays(path, target=TargetKind.INPUT).has_targets
    with pytest.raises(DataError, match="array 'test_y' is missing"):
        load_arrays(path, target=TargetKind.VALUES)
    np.savez(path, train_x=x, test_x=x, test_y=np.arange(6) % 2)
    assert load_arrays(path, target=TargetKind.INPUT).test_labels.tolist() == [0, 1, 0, 1, 0, 1]
