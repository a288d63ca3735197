"""Images, sequences and vectors of one's own, from a NumPy archive."""

from pathlib import Path

import numpy as np
import pytest
import torch

from systolith.data import DataError, load_arrays


@pytest.mark.parametrize("shape", [(2, 5, 6), (3, 7), (4,)], ids=str)
def test_values_stay_or_are_normalized_by_channel(shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(3, 2, (40, *shape)).astype(np.float32)
    labels = np.arange(40) % 4
    path = tmp_path / "own.npz"
    np.savez(path, train_x=values, train_y=labels, test_x=values[:8], test_y=labels[:8])
    data = load_arrays(path)
    assert data.name == "own" and data.input_shape == shape and data.classes == 4
    assert torch.equal(data.test_images, torch.from_numpy(values[:8]))
    normalized = load_arrays(path, normalize=True)
    channels = normalized.train_images.movedim(1, 0).flatten(1)
    assert channels.mean(1).abs().max() < 1e-5 and (channels.std(1) - 1).abs().max() < 0.02
    assert torch.equal(normalized.prepare(data.test_images), normalized.test_images)


def test_bytes_are_shares_of_255(tmp_path: Path) -> None:
    path, labels = tmp_path / "bytes.npz", np.zeros(2, np.int64)
    values = np.array([[[0, 255]], [[51, 102]]], np.uint8)
    np.savez(path, train_x=values, train_y=labels, test_x=values, test_y=labels)
    assert load_arrays(path).train_images[1, 0].tolist() == pytest.approx([0.2, 0.4])


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path, values = tmp_path / "wrong.npz", np.zeros((3, 2), np.float32)
    np.savez(path, train_x=values[:, 0], train_y=np.zeros(2), test_x=values, test_y=[0, -1, 0])
    with pytest.raises(DataError) as caught:
        load_arrays(path)
    assert [problem.split(": ", 1)[1] for problem in caught.value.problems] == [
        "train_x must be numbers of shape (N, C, H, W), (N, C, L) or (N, F), got float32 (3,)",
        "train_y must be integers of shape (3,), got float64 (2,)",
        "test_y must be classes from 0, got -1",
    ]
    np.savez(path, train_x=values)
    with pytest.raises(DataError, match="array 'train_y' is missing"):
        load_arrays(path)
    with pytest.raises(DataError, match="no .npz of arrays"):
        load_arrays(tmp_path / "absent.npz")
