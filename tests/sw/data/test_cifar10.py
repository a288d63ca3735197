import os
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from systolith.data import Dataset, load_cifar10
from tests.support.real_data import real_archive

Bytes = NDArray[np.uint8]
Batches = dict[str, tuple[Bytes, Bytes]]
"""Images (N, 3, 32, 32) and labels (N,) of each file."""

NAMES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def _batches() -> Batches:
    random = np.random.default_rng(0)
    return {
        name: (
            random.integers(0, 256, (10, 3, 32, 32), np.uint8),
            random.permutation(10).astype(np.uint8),
        )
        for name in NAMES
    }


def _python2_pickle(images: Bytes, labels: Bytes) -> bytes:
    """Pickle a batch as Python 2 did for the published files: strings of bytes, protocol 2."""

    def string(content: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(content)) + content

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + string(b"u1") + integer(0) + integer(1) + b"\x87R"
    dtype += b"(" + integer(3) + string(b"|") + b"NNN" + integer(-1) * 2 + integer(0) + b"tb"
    shape = integer(len(images)) + integer(images[0].size) + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\n"
    array += b"cnumpy\nndarray\n" + integer(0) + b"\x85" + string(b"b") + b"\x87R"
    array += b"(" + integer(1) + shape + dtype + b"\x89" + string(images.tobytes()) + b"tb"
    numbers = b"](" + b"".join(map(integer, labels.tolist())) + b"e"
    content = string(b"data") + array + string(b"labels") + numbers
    content += string(b"batch_label") + string(b"a batch")
    return b"\x80\x02}(" + content + b"u."


def _write_python(folder: Path, batches: Batches) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in batches.items():
        (folder / name).write_bytes(_python2_pickle(images, labels))


def _write_binary(folder: Path, batches: Batches) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in batches.items():
        records = np.concatenate([labels[:, None], images.reshape(len(labels), -1)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def _arrays(batches: Batches) -> dict[str, Bytes]:
    *train, (test_x, test_y) = batches.values()
    return {
        "train_x": np.concatenate([images for images, _ in train]).transpose(0, 2, 3, 1),
        "train_y": np.concatenate([labels for _, labels in train]),
        "test_x": test_x.transpose(0, 2, 3, 1),
        "test_y": test_y,
    }


def _assert_holds(data: Dataset, batches: Batches) -> None:
    *train, (test_x, test_y) = batches.values()
    assert data.name == "cifar10"
    assert data.input_shape == (3, 32, 32)
    assert data.classes == 10
    train_x = torch.from_numpy(np.concatenate([images for images, _ in train]))
    assert torch.equal(data.train_images, train_x.float() / 255)
    assert data.train_labels.tolist() == [int(label) for _, labels in train for label in labels]
    assert torch.equal(data.test_images, torch.from_numpy(test_x).float() / 255)
    assert data.test_labels.tolist() == test_y.tolist()


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
def test_reads_the_python_version(tmp_path: Path, inside: str) -> None:
    batches = _batches()
    _write_python(tmp_path / inside, batches)
    _assert_holds(load_cifar10(tmp_path), batches)


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_reads_the_binary_version(tmp_path: Path, inside: str) -> None:
    batches = _batches()
    _write_binary(tmp_path / inside, batches)
    _assert_holds(load_cifar10(tmp_path), batches)


def test_reads_a_numpy_archive(tmp_path: Path) -> None:
    batches = _batches()
    np.savez(tmp_path / "cifar10.npz", **_arrays(batches))
    _assert_holds(load_cifar10(tmp_path / "cifar10.npz"), batches)


def test_normalizing_subtracts_the_mean_colour_and_divides_by_the_deviation(tmp_path: Path) -> None:
    _write_binary(tmp_path, _batches())
    raw, normalized = load_cifar10(tmp_path), load_cifar10(tmp_path, normalize=True)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    assert torch.equal(normalized.train_images, (raw.train_images - mean) / deviation)
    assert torch.equal(normalized.test_images, (raw.test_images - mean) / deviation)
    assert torch.equal(normalized.train_labels, raw.train_labels)


def _refuses(path: Path, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_cifar10(path)


def test_refuses_a_folder_without_it(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        _refuses(
            path,
            "CIFAR-10 needs the folder cifar-10-batches-py or cifar-10-batches-bin, or a .npz, "
            f"found none at '{path}'",
        )


def test_lists_every_damaged_binary_file(tmp_path: Path) -> None:
    _write_binary(tmp_path, _batches())
    path = tmp_path / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "test_batch.bin").write_bytes(b"")
    _refuses(
        tmp_path,
        f"CIFAR-10 files in '{tmp_path}' cannot be read:\n"
        "  - 'data_batch_2.bin': needs a multiple of 3073 bytes, got 30729\n"
        "  - 'test_batch.bin': needs a multiple of 3073 bytes, got 0",
    )


def test_lists_missing_files(tmp_path: Path) -> None:
    _write_python(tmp_path, _batches())
    for name in ("data_batch_1", "data_batch_5"):
        (tmp_path / name).unlink()
    pattern = (
        r"^CIFAR-10 files in '.*' cannot be read:\n"
        r"  - 'data_batch_1': .*No such file.*\n  - 'data_batch_5': .*No such file.*$"
    )
    with pytest.raises(ValueError, match=pattern):
        load_cifar10(tmp_path)


def test_refuses_images_of_another_shape(tmp_path: Path) -> None:
    batches = _batches()
    images, labels = batches["data_batch_3"]
    batches["data_batch_3"] = (images, labels[1:])
    _write_python(tmp_path, batches)
    _refuses(
        tmp_path,
        f"CIFAR-10 files in '{tmp_path}' cannot be read: "
        "'data_batch_3': needs images of shape (9, 3072), got (10, 3072)",
    )


class _Intruder:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, ("intruded",)


def test_runs_no_code_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _write_python(tmp_path, _batches())
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": _Intruder(), b"labels": []}))
    _refuses(
        tmp_path,
        f"CIFAR-10 files in '{tmp_path}' cannot be read: "
        f"'test_batch': must hold arrays only, got {os.mkdir.__module__}.mkdir",
    )
    assert not (tmp_path / "intruded").exists()
    (tmp_path / "test_batch").write_bytes(b"\x80\x02cposix\ndtype\n.")
    _refuses(
        tmp_path,
        f"CIFAR-10 files in '{tmp_path}' cannot be read: "
        "'test_batch': must hold arrays only, got posix.dtype",
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"no pickle",
        lambda whole: b"",
        lambda whole: pickle.dumps([1, 2]),
        lambda whole: pickle.dumps({b"data": [[1]], b"labels": 3}),
        lambda whole: pickle.dumps({b"data": [[300]], b"labels": [3]}),
        lambda whole: whole.replace(b"_reconstruct", b"reconstructor"),
    ],
    ids=["half", "no end", "text", "empty", "list", "number", "overflow", "name"],
)
def test_refuses_a_damaged_pickle(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    _write_python(tmp_path, _batches())
    path = tmp_path / "data_batch_4"
    path.write_bytes(damage(path.read_bytes()))
    pattern = r"^CIFAR-10 files in '.*' cannot be read: 'data_batch_4': [^;]+$"
    with pytest.raises(ValueError, match=pattern):
        load_cifar10(tmp_path)


def test_refuses_an_archive_of_another_shape_or_type(tmp_path: Path) -> None:
    arrays, path = _arrays(_batches()), tmp_path / "cifar10.npz"
    np.savez(path, **{**arrays, "test_x": arrays["test_x"][:, :31]})
    message = f"CIFAR-10 archive '{path}' needs uint8 images of shape (N, 32, 32, 3) and as many"
    _refuses(path, f"{message} labels, got uint8 (10, 31, 32, 3) and 10")
    np.savez(path, **{**arrays, "train_y": arrays["train_y"][1:]})
    _refuses(path, f"{message} labels, got uint8 (50, 32, 32, 3) and 49")
    np.savez(path, **{**arrays, "train_x": arrays["train_x"] / 255})
    _refuses(path, f"{message} labels, got float64 (50, 32, 32, 3) and 50")


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:-100], lambda whole: b"no archive", lambda whole: b""],
    ids=["truncated", "text", "empty"],
)
def test_refuses_a_damaged_archive(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "cifar10.npz"
    np.savez(path, **_arrays(_batches()))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"^CIFAR-10 archive '.*' cannot be read: "):
        load_cifar10(path)


def test_refuses_an_archive_without_labels(tmp_path: Path) -> None:
    arrays = _arrays(_batches())
    del arrays["test_y"]
    np.savez(tmp_path / "cifar10.npz", **arrays)
    with pytest.raises(ValueError, match=r"^CIFAR-10 archive '.*' cannot be read: .*test_y"):
        load_cifar10(tmp_path / "cifar10.npz")


def test_refuses_labels_beyond_the_ten_classes(tmp_path: Path) -> None:
    batches = _batches()
    batches["data_batch_1"][1][0] = 10
    _write_binary(tmp_path, batches)
    with pytest.raises(ValueError, match=r"^CIFAR-10 .*10"):
        load_cifar10(tmp_path)


def test_the_real_cifar10_has_as_many_images_of_each_class() -> None:
    data = load_cifar10(real_archive("cifar10"))
    assert data.input_shape == (3, 32, 32)
    assert torch.bincount(data.train_labels).tolist() == [5000] * 10
    assert torch.bincount(data.test_labels).tolist() == [1000] * 10
    assert data.test_labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert data.train_images.min() == 0 and data.train_images.max() == 1
