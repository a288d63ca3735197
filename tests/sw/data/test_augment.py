import pytest
import torch
from torch.nn import functional as F

from systolith.data import (
    Augment,
    Cutout,
    DataError,
    MixUp,
    RandomCrop,
    augment_problems,
    combine_augments,
    crop_and_flip,
    shift_images,
)


def test_every_image_is_one_of_its_nine_shifts() -> None:
    images = torch.rand(200, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    shifted = shift_images(images, torch.Generator().manual_seed(1))
    padded = F.pad(images, (1, 1, 1, 1))
    shifts = torch.stack([padded[:, :, y : y + 4, x : x + 5] for y in range(3) for x in range(3)])
    which = (shifts == shifted).all(dim=(2, 3, 4))
    assert (which.sum(0) == 1).all()
    assert which.any(1).all(), "each of the nine shifts happens"


def test_randomness_comes_from_the_generator_only() -> None:
    images = torch.rand(20, 1, 8, 8)
    a = shift_images(images, torch.Generator().manual_seed(1))
    b = shift_images(images, torch.Generator().manual_seed(1))
    assert torch.equal(a, b)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_every_crop_is_one_of_all_shifts_and_their_mirror_images(
    memory: torch.memory_format,
) -> None:
    images = torch.rand(400, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    cropped = crop_and_flip(images.to(memory_format=memory), torch.Generator().manual_seed(1))
    padded = F.pad(images, (4, 4, 4, 4))
    shifts = [padded[:, :, y : y + 5, x : x + 6] for y in range(9) for x in range(9)]
    choices = torch.stack([image for shift in shifts for image in (shift, shift.flip(3))])
    which = (choices == cropped).all(dim=(2, 3, 4)).reshape(9, 9, 2, 400)
    assert which.any(dim=(0, 1, 2)).all(), "each image is one of 162"
    assert which.any(dim=(1, 2, 3)).all() and which.any(dim=(0, 2, 3)).all(), "each shift happens"
    mirrored = which[:, :, 1].any(dim=(0, 1))
    assert 140 < mirrored.sum() < 260, "half of them are mirrored; six standard deviations"


@pytest.mark.parametrize("augment", [shift_images, crop_and_flip])
def test_the_images_given_stay_as_they_are(augment: Augment) -> None:
    images = torch.rand(10, 3, 8, 8)
    before = images.clone()
    changed = augment(images, torch.Generator().manual_seed(0))
    assert torch.equal(images, before)
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert not torch.equal(changed, images)


def test_crops_are_random_by_the_generator_only() -> None:
    images, generator = torch.rand(20, 1, 8, 8), torch.Generator().manual_seed(1)
    state, before = generator.get_state(), torch.random.get_rng_state()
    first, next_ = crop_and_flip(images, generator), crop_and_flip(images, generator)
    generator.set_state(state)
    assert torch.equal(first, crop_and_flip(images, generator))
    assert not torch.equal(first, next_)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("augment", "variants"), [(shift_images, 9), (crop_and_flip, 162)])
def test_a_call_applies_the_variants_that_it_draws(augment: RandomCrop, variants: int) -> None:
    images = torch.rand(1, 2, 5, 6).expand(variants, -1, -1, -1)
    assert augment.variants == variants
    all_variants = augment.apply(images, torch.arange(variants))
    assert len({str(image.tolist()) for image in all_variants}) == variants
    drawing, calling = (torch.Generator().manual_seed(2) for _ in range(2))
    for _ in range(2):
        drawn = augment.draw(len(images), drawing)
        assert drawn.dtype == torch.int64 and drawn.shape == (variants,)
        assert torch.equal(augment.apply(images, drawn), augment(images, calling))
    many = augment.draw(5000, drawing)
    assert len(many.unique()) == variants and 0 <= many.min() and many.max() < variants


def test_the_numbers_that_seeds_draw_stay_the_same() -> None:
    for augment, first in (
        (shift_images, [7, 2, 3, 1, 7, 3]),
        (crop_and_flip, [147, 58, 138, 56, 146, 132]),
    ):
        assert augment.draw(6, torch.Generator().manual_seed(5)).tolist() == first


def test_sequences_are_shifted_and_mirrored_along_their_length() -> None:
    sequences = torch.rand(300, 2, 7, generator=torch.Generator().manual_seed(0))
    crop = RandomCrop(padding=2, mirror=True)
    changed = crop(sequences, torch.Generator().manual_seed(1))
    padded = F.pad(sequences, (2, 2))
    shifts = [padded[:, :, x : x + 7] for x in range(5)]
    choices = torch.stack([row for shift in shifts for row in (shift, shift.flip(2))])
    which = (choices == changed).all(dim=(2, 3))
    assert (which.sum(0) == 1).all() and which.any(1).all()
    generator = torch.Generator().manual_seed(1)
    variants = crop.draw(len(sequences), generator)
    assert torch.equal(crop.apply(sequences, variants), changed)


def test_spans_of_sequences_are_erased() -> None:
    sequences = torch.rand(50, 2, 9) + 1
    changed = Cutout(size=4)(sequences, torch.Generator().manual_seed(1))
    erased = changed == 0
    assert torch.equal(erased[:, 0], erased[:, 1])
    assert set(erased[:, 0].sum(1).tolist()) <= {2, 3, 4}
    assert torch.equal(changed[~erased], sequences[~erased])


def test_vectors_have_no_places() -> None:
    vectors, reason = torch.rand(5, 6), "needs images .* or sequences .*, got vectors of 6 features"
    for augment in (shift_images, Cutout()):
        with pytest.raises(DataError, match=reason):
            augment(vectors, torch.Generator())
        assert len(list(augment_problems(combine_augments([augment, MixUp()]), (6,)))) == 1
        assert not list(augment_problems(augment, (6, 1)))
