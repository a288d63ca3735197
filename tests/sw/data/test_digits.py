import torch

from systolith.data import load_digits


def test_a_third_of_each_class_is_held_out() -> None:
    data = load_digits(seed=0)
    assert data.input_shape == (1, 8, 8)
    assert data.classes == 10
    assert (len(data.train_images), len(data.test_images)) == (1198, 599)
    train = torch.bincount(data.train_labels, minlength=10)
    test = torch.bincount(data.test_labels, minlength=10)
    assert ((test - (train + test) / 3).abs() <= 1).all()


def test_pixels_are_sixteenths_of_zero_to_one() -> None:
    data = load_digits(seed=0)
    for images in (data.train_images, data.test_images):
        assert images.min() == 0 and images.max() == 1
        assert torch.equal(images * 16, (images * 16).round())


def test_no_image_is_in_both_parts() -> None:
    data = load_digits(seed=3)
    whole = torch.cat([data.train_images, data.test_images]).flatten(1)
    assert len(whole.unique(dim=0)) == len(whole)


def test_the_seed_decides_the_split() -> None:
    first, again, other = load_digits(seed=1), load_digits(seed=1), load_digits(seed=2)
    assert torch.equal(first.train_images, again.train_images)
    assert torch.equal(first.test_labels, again.test_labels)
    assert not torch.equal(first.test_labels, other.test_labels)
