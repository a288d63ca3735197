import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from systolith.data import DataError, Dataset, load_fashion_mnist, load_mnist
from tests.support.real_data import real_archive

Bytes = NDArray[np.uint8]

TRAIN_X, TRAIN_Y = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_X, TEST_Y = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def _arrays(train: int = 30, test: int = 10) -> dict[str, Bytes]:
    random = np.random.default_rng(0)
    sizes = {"train": train, "test": test}
    images = {
        f"{part}_x": random.integers(0, 256, (size, 28, 28), np.uint8)
        for part, size in sizes.items()
    }
    labels = {f"{part}_y": np.arange(size, dtype=np.uint8) % 10 for part, size in sizes.items()}
    return {**images, **labels}


def _idx(array: Bytes) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def _write_idx(folder: Path, arrays: dict[str, Bytes], compressed: bool = False) -> None:
    for name, key in (
        *((TRAIN_X, "train_x"), (TRAIN_Y, "train_y")),
        *((TEST_X, "test_x"), (TEST_Y, "test_y")),
    ):
        content = _idx(arrays[key])
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def _assert_holds(data: Dataset, arrays: dict[str, Bytes]) -> None:
    assert data.input_shape == (1, 28, 28)
    assert data.classes == 10
    for part in ("train", "test"):
        images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
        assert torch.equal(images, torch.from_numpy(arrays[f"{part}_x"])[:, None].float() / 255)
        assert labels.tolist() == arrays[f"{part}_y"].tolist()


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
@pytest.mark.parametrize("compressed", [False, True])
def test_reads_the_published_files(
    tmp_path: Path, load: Callable[..., Dataset], compressed: bool
) -> None:
    arrays = _arrays()
    _write_idx(tmp_path, arrays, compressed)
    _assert_holds(load(tmp_path), arrays)


def test_some_files_may_be_compressed_and_a_path_may_be_a_string(tmp_path: Path) -> None:
    arrays = _arrays()
    _write_idx(tmp_path, arrays)
    plain = tmp_path / TRAIN_X
    (tmp_path / f"{TRAIN_X}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    _assert_holds(load_mnist(str(tmp_path)), arrays)  # type: ignore[arg-type]


def test_reads_a_numpy_archive(tmp_path: Path) -> None:
    arrays = _arrays()
    np.savez(tmp_path / "mnist.npz", **arrays)
    _assert_holds(load_mnist(tmp_path / "mnist.npz"), arrays)


def test_the_data_set_has_its_name(tmp_path: Path) -> None:
    _write_idx(tmp_path, _arrays())
    assert load_mnist(tmp_path).name == "mnist"
    assert load_fashion_mnist(tmp_path).name == "fashion-mnist"


@pytest.mark.parametrize(
    ("load", "mean", "deviation"),
    [(load_mnist, 0.1307, 0.3081), (load_fashion_mnist, 0.2860, 0.3530)],
)
def test_normalizing_subtracts_the_mean_and_divides_by_the_deviation(
    tmp_path: Path, load: Callable[..., Dataset], mean: float, deviation: float
) -> None:
    _write_idx(tmp_path, _arrays())
    raw, normalized = load(tmp_path), load(tmp_path, normalize=True)
    assert torch.equal(normalized.test_images, (raw.test_images - mean) / deviation)
    assert torch.equal(normalized.test_labels, raw.test_labels)


def _refuses(path: Path, problems: str) -> None:
    subject = f"data set 'mnist' cannot be read from '{path}'"
    message = str(DataError(problems.split("; "), subject))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_mnist(path)


def test_lists_every_damaged_file(tmp_path: Path) -> None:
    _write_idx(tmp_path, _arrays(train=10))
    (tmp_path / TRAIN_X).write_bytes((tmp_path / TRAIN_X).read_bytes()[:-1])
    (tmp_path / TRAIN_Y).write_bytes(b"\x00\x00\x0d\x01" + bytes(14))
    (tmp_path / TEST_X).write_bytes(b"\x00\x00\x08\x03\x00\x00")
    (tmp_path / TEST_Y).unlink()
    _refuses(
        tmp_path,
        f"'{TRAIN_X}' needs 7840 bytes for shape (10, 28, 28) after its header, got 7839; "
        f"'{TRAIN_Y}' needs magic number 0x00000801, got 0x00000d01; "
        f"'{TEST_X}' needs a header of 16 bytes, got 6; "
        f"'{TEST_Y}' is missing, also as .gz",
    )


def test_refuses_bytes_after_the_end_and_other_axes(tmp_path: Path) -> None:
    _write_idx(tmp_path, _arrays(train=10, test=10))
    (tmp_path / TRAIN_Y).write_bytes((tmp_path / TRAIN_Y).read_bytes() + b"\x00")
    (tmp_path / TEST_X).write_bytes((tmp_path / TEST_Y).read_bytes())
    (tmp_path / TEST_Y).write_bytes(b"")
    _refuses(
        tmp_path,
        f"'{TRAIN_Y}' needs 10 bytes for shape (10,) after its header, got 11; "
        f"'{TEST_X}' needs magic number 0x00000803, got 0x00000801; "
        f"'{TEST_Y}' needs magic number 0x00000801, got 0x",
    )


@pytest.mark.parametrize("damage", [lambda whole: whole[:-20], lambda whole: b"no" + whole])
def test_refuses_damaged_compression(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    _write_idx(tmp_path, _arrays(), compressed=True)
    path = tmp_path / f"{TRAIN_X}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"^data set 'mnist' .*: '{TRAIN_X}' cannot be decompress"):
        load_mnist(tmp_path)


def test_lists_shapes_and_labels_that_do_not_fit(tmp_path: Path) -> None:
    arrays = _arrays(train=20, test=10)
    arrays["train_x"] = arrays["train_x"][:, :, :27].copy()
    arrays["train_y"] = arrays["train_y"][1:].copy()
    arrays["test_y"][3] = 10
    _write_idx(tmp_path, arrays)
    _refuses(
        tmp_path,
        "train images must be uint8 of shape (N, 28, 28), got uint8 (20, 28, 27); "
        "train labels must be uint8 of shape (20,), one per image, got uint8 (19,); "
        "test labels must be 0..9, got 10",
    )


def test_refuses_empty_classes(tmp_path: Path) -> None:
    arrays = _arrays(train=8, test=0)
    _write_idx(tmp_path, arrays)
    _refuses(
        tmp_path,
        "train images must be of all 10 classes, got none of [8, 9]; "
        "test images must be of all 10 classes, got none of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]",
    )


def test_refuses_archives_that_do_not_fit(tmp_path: Path) -> None:
    arrays = _arrays()
    path = tmp_path / "mnist.npz"
    np.savez(path, train_x=arrays["train_x"], test_y=arrays["test_y"])
    _refuses(path, "array 'train_y' is missing; array 'test_x' is missing")
    np.savez(path, **{**arrays, "train_x": arrays["train_x"] / 255, "test_y": np.arange(10)})
    _refuses(
        path,
        "train images must be uint8 of shape (N, 28, 28), got float64 (30, 28, 28); "
        "test labels must be uint8 of shape (10,), one per image, got int64 (10,)",
    )


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 no archive"])
def test_refuses_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^data set 'mnist' .*: it is no \.npz of arrays: "):
        load_mnist(path)


def test_refuses_a_truncated_archive_and_one_that_would_run_code(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    np.savez(path, **_arrays())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"^data set 'mnist' .*: it is no \.npz of arrays: "):
        load_mnist(path)
    np.savez(path, **{**_arrays(), "train_y": np.array([object()])})
    with pytest.raises(ValueError, match=r"^data set 'mnist' .*: it is no \.npz of arrays: "):
        load_mnist(path)
    np.save(tmp_path / "mnist.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"^data set 'mnist' .*: it is no \.npz of arrays: "):
        load_mnist(tmp_path / "mnist.npy")


def test_refuses_a_path_that_is_nothing(tmp_path: Path) -> None:
    _refuses(tmp_path / "gone", "it is neither a folder nor a .npz")


def test_the_real_fashion_mnist_is_complete() -> None:
    data = load_fashion_mnist(real_archive("fashion-mnist"))
    assert (len(data.train_labels), len(data.test_labels)) == (60_000, 10_000)
    assert torch.bincount(data.train_labels).tolist() == [6000] * 10
    assert torch.bincount(data.test_labels).tolist() == [1000] * 10
    assert data.train_labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert abs(data.train_images.mean() - 0.2860) < 5e-5
    assert abs(data.train_images.std() - 0.3530) < 5e-5
