import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from systolith.data import DataError, load_image_folder

Bytes = NDArray[np.uint8]


def _image(seed: int, height: int = 4, width: int = 6) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _write(path: Path, pixels: Bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _write_both(folder: Path) -> dict[str, Bytes]:
    """Two classes in each part; what is in the files, in order."""
    names = ("train/cat/a.png", "train/cat/b.PNG", "train/dog/c.bmp", "test/cat/d.png")
    images = {name: _image(seed) for seed, name in enumerate((*names, "test/dog/e.ppm"))}
    for name, pixels in images.items():
        _write(folder / name, pixels)
    return images


def _write_flat(folder: Path, **counts: int) -> None:
    for name, count in counts.items():
        (folder / name).mkdir()
        for i in range(count):
            _write(folder / name / f"{i:03}.png", np.full((2, 2, 3), i, np.uint8))


def test_reads_pixels_and_numbers_classes_by_name(tmp_path: Path) -> None:
    images = _write_both(tmp_path / "pets")
    data = load_image_folder(tmp_path / "pets")
    assert data.name == "pets"
    assert data.input_shape == (3, 4, 6)
    assert data.train_labels.tolist() == [0, 0, 1]
    assert data.test_labels.tolist() == [0, 1]
    both = torch.cat([data.train_images, data.test_images])
    expected = torch.from_numpy(np.stack(list(images.values()))).permute(0, 3, 1, 2).float() / 255
    assert torch.equal(both, expected)


def test_without_color_there_is_one_channel_of_brightness(tmp_path: Path) -> None:
    _write_both(tmp_path)
    gray = load_image_folder(tmp_path, color=False)
    assert gray.input_shape == (1, 4, 6)
    red, green, blue = load_image_folder(tmp_path).train_images.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    assert (gray.train_images[:, 0] - luma).abs().max() <= 1 / 255


def test_gray_images_become_three_equal_channels(tmp_path: Path) -> None:
    for part in ("train", "test"):
        _write(tmp_path / part / "cat" / "a.png", _image(0)[:, :, 0])
    red, green, blue = load_image_folder(tmp_path).train_images.unbind(1)
    assert torch.equal(red, green) and torch.equal(green, blue)


def test_a_size_scales_all_images(tmp_path: Path) -> None:
    images = _write_both(tmp_path)
    _write(tmp_path / "train/dog/wide.png", np.full((3, 9, 3), 51, np.uint8))
    data = load_image_folder(tmp_path, size=(4, 6))
    assert data.input_shape == (3, 4, 6)
    assert (data.train_images[3] == 0.2).all(), "one color stays"
    assert torch.equal(
        data.train_images[0] * 255,
        torch.from_numpy(images["train/cat/a.png"]).permute(2, 0, 1).float(),
    ), "an image of that size stays"
    assert load_image_folder(tmp_path, size=(2, 3)).input_shape == (3, 2, 3)


def test_hidden_files_and_others_are_passed_over(tmp_path: Path) -> None:
    _write_both(tmp_path)
    for name in ("train/cat/.hidden.png", "train/cat/notes.txt", "README", "train/README"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "train" / ".cache").mkdir()
    assert load_image_folder(tmp_path).train_labels.tolist() == [0, 0, 1]


def test_a_share_of_each_class_is_drawn_for_testing(tmp_path: Path) -> None:
    _write_flat(tmp_path, cat=20, dog=10)
    data = load_image_folder(tmp_path, test_share=0.3, seed=1)
    assert torch.bincount(data.test_labels).tolist() == [6, 3]
    assert torch.bincount(data.train_labels).tolist() == [14, 7]
    for label, count in ((0, 20), (1, 10)):
        train = data.train_images[data.train_labels == label][:, 0, 0, 0] * 255
        test = data.test_images[data.test_labels == label][:, 0, 0, 0] * 255
        assert sorted(torch.cat([train, test]).tolist()) == list(range(count))


def test_the_seed_decides_the_share(tmp_path: Path) -> None:
    _write_flat(tmp_path, cat=20, dog=10)
    first, again, other = (load_image_folder(tmp_path, seed=seed).test_images for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def _refuses(path: Path, *problems: str, **arguments: float) -> None:
    message = str(DataError(problems, f"image folder '{path}'"))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_image_folder(path, **arguments)  # type: ignore[arg-type]


def test_lists_classes_that_are_empty_or_in_one_part_only(tmp_path: Path) -> None:
    _write_both(tmp_path)
    (tmp_path / "train" / "fox").mkdir()
    (tmp_path / "test" / "owl").mkdir()
    _refuses(
        tmp_path,
        "class 'fox' has no images in 'train'",
        "class 'owl' has no images in 'test'",
        "class 'fox' is in 'train' but not in 'test'",
        "class 'owl' is in 'test' but not in 'train'",
    )


def test_refuses_one_part_without_the_other(tmp_path: Path) -> None:
    _write(tmp_path / "train" / "cat" / "a.png", _image(0))
    _refuses(tmp_path, "needs both 'train' and 'test', has only 'train'")


def test_refuses_folders_without_classes(tmp_path: Path) -> None:
    _refuses(tmp_path / "gone", "is no folder")
    _refuses(tmp_path, "needs a folder for each class, has none")
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    _refuses(
        tmp_path,
        "needs a folder for each class in 'train', has none",
        "needs a folder for each class in 'test', has none",
    )


def test_refuses_a_share_that_leaves_a_class_without_images(tmp_path: Path) -> None:
    _write_flat(tmp_path, cat=10, dog=1)
    _refuses(tmp_path, "test_share 0.2 leaves no image of class 'dog' for testing")
    _refuses(tmp_path, "test_share 0.9 leaves no image of class 'dog' for training", test_share=0.9)


def test_refuses_sizes_and_shares_that_make_no_sense(tmp_path: Path) -> None:
    problems = (
        "size must be a height and a width of at least 1, got (0, 4)",
        "test_share must be between 0 and 1, got 1.0",
    )
    message = str(DataError(problems, f"image folder '{tmp_path}'"))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_image_folder(tmp_path, size=(0, 4), test_share=1.0)


def test_lists_images_of_other_sizes(tmp_path: Path) -> None:
    _write_both(tmp_path)
    _write(tmp_path / "train/dog/wide.png", _image(9, height=3, width=9))
    _refuses(
        tmp_path,
        f"'{Path('train/dog/wide.png')}' has 3x9 pixels, others 4x6; give the size to scale to",
    )


def test_lists_images_that_cannot_be_read(tmp_path: Path) -> None:
    _write_both(tmp_path)
    whole = tmp_path / "train/cat/a.png"
    whole.write_bytes(whole.read_bytes()[:60])
    (tmp_path / "test/dog/f.png").write_text("no image")
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "test/dog/g.png")
    pattern = (
        r"^image folder '.*':\n  - 'train/cat/a\.png' cannot be read: .*\n"
        r"  - 'test/dog/f\.png' cannot be read: cannot identify .*\n"
        r"  - 'test/dog/g\.png' cannot be read: needs 8 bits per channel, got mode I;16$"
    )
    with pytest.raises(ValueError, match=pattern):
        load_image_folder(tmp_path)


def test_of_many_problems_some_are_told_and_the_others_counted(tmp_path: Path) -> None:
    _write_both(tmp_path)
    for i in range(12):
        (tmp_path / "train" / "cat" / f"{i:02}.png").write_text("no image")
    with pytest.raises(ValueError, match=r"'train/cat/09\.png' cannot be read.*\n  - and 2 more$"):
        load_image_folder(tmp_path)
