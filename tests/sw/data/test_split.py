import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from systolith.data import Dataset, hold_out, load_digits
from systolith.data.split import draw_stratified


def _data(labels: list[int]) -> Dataset:
    """Images whose only pixel is their number."""
    return Dataset(
        name="x",
        train_images=torch.arange(len(labels)).float().reshape(-1, 1, 1, 1),
        train_labels=torch.tensor(labels),
        test_images=torch.full((3, 1, 1, 1), -1.0),
        test_labels=torch.tensor([0, 1, 0]),
    )


def test_every_image_is_in_one_part_with_its_label() -> None:
    data = load_digits()
    part, images, labels = hold_out(data, 200, seed=1)
    assert (len(images), len(part.train_images)) == (200, 998)
    both = torch.cat([part.train_images, images]).flatten(1)
    names = torch.cat([part.train_labels, labels])
    before = torch.cat([data.train_images.flatten(1), data.train_labels[:, None]], 1)
    after = torch.cat([both, names[:, None]], 1)
    assert torch.equal(before.unique(dim=0), after.unique(dim=0))
    assert torch.equal(part.test_images, data.test_images)
    assert torch.equal(part.test_labels, data.test_labels)
    assert part.name == data.name


def test_both_parts_keep_the_order_of_the_images() -> None:
    part, images, _ = hold_out(_data([0, 1] * 20), 10, seed=0)
    for pixels in (images.flatten(), part.train_images.flatten()):
        assert torch.equal(pixels, pixels.sort().values)


def test_shares_are_rounded_by_the_largest_remainder() -> None:
    data = _data([0] * 50 + [1] * 27 + [2] * 23)
    # 10 of 100: 5.0, 2.7, 2.3
    assert torch.bincount(hold_out(data, 10, seed=0).labels).tolist() == [5, 3, 2]
    # equal remainders, one image: the lower class
    assert hold_out(_data([0] * 5 + [1] * 5), 1, seed=3).labels.tolist() == [0]


def test_the_seed_decides_and_the_global_one_is_left_alone() -> None:
    data, before = load_digits(), torch.random.get_rng_state()
    first, again, other = (hold_out(data, 100, seed=seed).images for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_every_image_of_a_class_is_drawn_as_often() -> None:
    labels = torch.tensor([0] * 8 + [1] * 4)
    counts = sum(draw_stratified(labels, 3, seed).long() for seed in range(2000))
    assert isinstance(counts, torch.Tensor)
    # 2 of 8 and 1 of 4: a quarter each; five standard deviations are 97
    assert (counts - 500).abs().max() < 97


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), data=st.data())
def test_draws_so_many_and_less_than_one_off_the_exact_share(
    labels: list[int], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(labels)))
    drawn = draw_stratified(torch.tensor(labels), count, seed=0)
    assert drawn.dtype == torch.bool and int(drawn.sum()) == count
    for label in set(labels):
        share = int(drawn[torch.tensor(labels) == label].sum())
        assert abs(share - count * labels.count(label) / len(labels)) < 1


@pytest.mark.parametrize("count", [-1, 0, 4, 5])
def test_refuses_an_empty_part(count: int) -> None:
    message = (
        "data set 'x' has 4 training images; at least 1 must be held out and 1 left, "
        f"got count {count}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        hold_out(_data([0, 0, 1, 1]), count, seed=0)


def test_refuses_to_take_the_last_image_of_a_class() -> None:
    message = "holding out 6 images of data set 'x' leaves no training images of classes [1, 2]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        hold_out(_data([0] * 5 + [1, 2]), 6, seed=0)
