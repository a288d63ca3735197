"""Cutout, MixUp, and several augmentations one after the other."""

import re

import pytest
import torch
from torch import Tensor

from systolith.data import (
    Augment,
    Cutout,
    DataError,
    FiniteAugment,
    MixingAugment,
    MixUp,
    RandomCrop,
    augment_images,
    combine_augments,
    crop_and_flip,
    shift_images,
)


def _generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "side"), [(3, 3), (4, 4), (None, 4)])
def test_cutout_erases_one_square_around_any_pixel(size: int | None, side: int) -> None:
    images = torch.ones(3000, 2, 9, 8)
    erased = Cutout(size=size)(images, _generator()) == 0
    assert torch.equal(erased[:, 0], erased[:, 1]), "in all channels"
    rows, columns = erased[:, 0].any(2), erased[:, 0].any(1)
    assert torch.equal(erased[:, 0], rows[:, :, None] & columns[:, None, :]), "a rectangle"
    for lines in (rows, columns):
        count = lines.sum(1)
        assert count.max() == side and count.min() == side - side // 2
        edges = lines.int().diff(dim=1).abs().sum(1)
        assert edges.max() == 2 and edges.min() == 1, "without gaps, cut at the border"
    assert len({str(pair) for pair in zip(rows.tolist(), columns.tolist(), strict=True)}) == 72
    assert (images == 1).all()


def test_mixup_averages_images_and_labels_alike() -> None:
    images, targets = torch.rand(16, 1, 2, 2), torch.eye(16)
    shares = set()
    generator = _generator()
    for _ in range(20):
        mixed, labels = MixUp(alpha=1.0).mix(images, targets, generator)
        torch.testing.assert_close(mixed.flatten(1), labels @ images.flatten(1))
        torch.testing.assert_close(labels.sum(1), torch.ones(16))
        assert (labels > 0).sum(1).max() <= 2
        shares.add(float(labels.diagonal().min()))
    assert len(shares) == 20 and min(shares) < 0.3 and max(shares) > 0.7
    assert torch.equal(targets, torch.eye(16))


def test_mixups_shares_follow_alpha() -> None:
    images, targets = torch.zeros(2, 1, 1, 1), torch.eye(2)
    for alpha, variance in ((0.2, 1 / 5.6), (1.0, 1 / 12), (8.0, 1 / 68)):
        generator = _generator()
        drawn = torch.tensor(
            [MixUp(alpha=alpha).mix(images, targets, generator)[1][0, 0] for _ in range(4000)]
        )
        drawn = drawn[drawn < 1]  # a permutation of two moves nothing half of the time
        assert (drawn - 0.5).square().mean() == pytest.approx(variance, rel=0.15)


@pytest.mark.parametrize(
    "augment", [MixUp(), Cutout(), combine_augments([crop_and_flip, Cutout(), MixUp()])]
)
def test_randomness_comes_from_the_generator_only(augment: Augment | MixingAugment) -> None:
    images, targets = torch.rand(20, 1, 8, 8), torch.eye(20)

    def change(generator: torch.Generator) -> Tensor:
        if isinstance(augment, MixingAugment):
            return augment.mix(images, targets, generator)[0]
        return augment(images, generator)

    before = torch.random.get_rng_state()
    assert torch.equal(change(_generator()), change(_generator()))
    assert not torch.equal(change(_generator()), change(_generator(2)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_chains_are_as_finite_as_their_parts() -> None:
    assert combine_augments([]) is None
    assert combine_augments([shift_images]) is shift_images
    finite = combine_augments([shift_images, RandomCrop(padding=1, mirror=True)])
    assert isinstance(finite, FiniteAugment) and finite.variants == 9 * 18
    plain = combine_augments([shift_images, Cutout()])
    assert not isinstance(plain, FiniteAugment | MixingAugment)
    assert isinstance(combine_augments([MixUp(), shift_images]), MixingAugment)


def test_a_chain_changes_images_as_its_parts_one_after_the_other() -> None:
    images, flip = torch.rand(30, 1, 5, 5), RandomCrop(padding=1, mirror=True)
    first, second = _generator(), _generator()
    chain = combine_augments([shift_images, flip])
    assert isinstance(chain, FiniteAugment)
    wanted = images
    drawn = [part.draw(30, first) for part in (shift_images, flip)]
    for part, variants in zip((shift_images, flip), drawn, strict=True):
        wanted = part.apply(wanted, variants)
    state = second.get_state()
    variants = chain.draw(30, second)
    assert torch.equal(variants, drawn[0] * 18 + drawn[1])
    assert torch.equal(chain.apply(images, variants), wanted)
    second.set_state(state)
    assert torch.equal(chain(images, second), wanted)

    mixing = combine_augments([shift_images, MixUp()])
    assert isinstance(mixing, MixingAugment)
    first, second = _generator(), _generator()
    by_hand = MixUp().mix(shift_images(images, first), torch.eye(30), first)
    for wanted, actual in zip(by_hand, mixing.mix(images, torch.eye(30), second), strict=True):
        assert torch.equal(wanted, actual)


@pytest.mark.parametrize(
    "augment", [None, shift_images, Cutout(), MixUp(), combine_augments([shift_images, MixUp()])]
)
def test_images_can_be_changed_without_labels(augment: Augment | MixingAugment | None) -> None:
    images = torch.rand(20, 1, 8, 8)
    changed = augment_images(images, augment, _generator())
    if isinstance(augment, MixingAugment):
        wanted = augment.mix(images, torch.eye(20), _generator())[0]
    else:
        wanted = images if augment is None else augment(images, _generator())
    assert torch.equal(changed, wanted)


def test_refuses_numbers_out_of_range() -> None:
    with pytest.raises(DataError, match=r"^size of Cutout must be at least 1, got 0$"):
        Cutout(size=0)
    for alpha in (0.0, -1.0, float("nan")):
        message = f"alpha of MixUp must be positive, got {alpha}"
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            MixUp(alpha=alpha)
