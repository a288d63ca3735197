import torch
from torch.nn import functional as F

from systolith.data import shift_images


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
