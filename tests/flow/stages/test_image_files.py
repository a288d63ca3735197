"""A user's own images for a saved network: what is read, and what they become."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.changes import image_changes
from systolith.exchange import Format, export_onnx, import_onnx
from systolith.foundation import UsageError
from systolith.network import save
from systolith.stages import open_run
from tests.support.networks import small_network


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A network that came from a file whose input has a scale of 1/4."""
    model = tmp_path / "model.onnx"
    export_onnx(small_network(), model, Format.QDQ, input_scale=0.25)
    assert CliRunner().invoke(app, ["import", str(model), "-o", str(tmp_path)]).exit_code == 0
    return tmp_path / "network.json"


def _floats(count: int) -> np.ndarray:
    shape = (count, *small_network().input.shape)
    return np.random.default_rng(0).normal(0, 20, shape).astype(np.float32)


def _source(network: Path, images: object) -> Any:
    changes = image_changes(network, str(images))
    session = open_run(network, network.parent / "out", changes=changes)
    assert session.experiment.simulate.images == "all"
    return session.source


def _as_npy(folder: Path, images: np.ndarray) -> Path:
    np.save(folder / "images.npy", images)
    return folder / "images.npy"


def _as_npz(folder: Path, images: np.ndarray) -> Path:
    np.savez(folder / "images.npz", images=images)
    return folder / "images.npz"


def _as_folder(folder: Path, images: np.ndarray) -> Path:
    (folder / "pictures").mkdir()
    for number, image in enumerate(images):
        np.save(folder / f"pictures/{number}.npy", image)
    return folder / "pictures"


@pytest.mark.parametrize("write", [_as_npy, _as_npz, _as_folder])
def test_float_images_become_what_the_file_makes_of_them(
    write: Callable[[Path, np.ndarray], Path], imported: Path, tmp_path: Path
) -> None:
    images = _floats(6)
    source = _source(imported, write(tmp_path, images))
    wanted = import_onnx(tmp_path / "model.onnx").quantize_input(images)
    found, labels = source.images(None)
    assert np.array_equal(found, wanted) and labels is None
    assert len(np.unique(wanted)) > 4
    assert len(source.images(2)[0]) == 2


def test_labels_come_with_images(imported: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=_floats(3), labels=np.array([2, 0, 1], np.uint8))
    _, labels = _source(imported, tmp_path / "images.npz").images(None)
    assert labels.tolist() == [2, 0, 1]


def test_integers_are_the_networks_own(imported: Path, tmp_path: Path) -> None:
    act = small_network().input.type
    images = np.full((2, *small_network().input.shape), act.high, np.int16)
    found, _ = _source(imported, _as_npy(tmp_path, images)).images(None)
    assert np.array_equal(found, images)


def _wrong_shape() -> np.ndarray:
    return _floats(2)[:, :, :-1]


def _too_large() -> np.ndarray:
    return np.full((1, *small_network().input.shape), 4000)


def _nan() -> np.ndarray:
    return np.full((1, *small_network().input.shape), np.nan)


def _words() -> np.ndarray:
    return np.array(["cat"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_wrong_shape, r"images must have shape \(N, "),
        (_too_large, "give floats as the model reads them"),
        (_nan, "images must be numbers"),
        (_words, "must be floats or integers"),
    ],
)
def test_images_that_do_not_fit(
    make: Callable[[], np.ndarray], said: str, imported: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        _source(imported, _as_npy(tmp_path, make()))


def test_files_that_hold_no_images(imported: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "cat.jpg").write_bytes(b"")
    np.savez(tmp_path / "other.npz", pictures=_floats(1))
    np.savez(tmp_path / "labels.npz", images=_floats(2), labels=np.array([0.5, 1.5]))
    whole = (tmp_path / "labels.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-30])
    changed = bytearray(whole)
    changed[200] ^= 255
    (tmp_path / "changed.npz").write_bytes(changed)
    for name, said in {
        "nowhere.npy": "there is no file",
        "empty": "has no .npy files",
        "text.npy": "cannot be read as images",
        "cat.jpg": "must be a .npz or .npy file",
        "other.npz": "needs an array 'images', and 'labels' if they are known, got 'pictures'",
        "cut.npz": "cannot be read as images: .*; write it with numpy",
        "changed.npz": "cannot be read as images: .*; write it with numpy",
        "labels.npz": "^labels in .* must be one integer for each of the 2 images, got float64",
    }.items():
        with pytest.raises(UsageError, match=said):
            _source(imported, tmp_path / name)


@pytest.mark.parametrize("wrong", [-1, 1000])
def test_labels_are_numbers_of_results(wrong: int, imported: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=_floats(2), labels=np.array([0, wrong]))
    with pytest.raises(UsageError, match=r"^labels must be classes 0\.\.\d+, as output 'fc' has"):
        _source(imported, tmp_path / "images.npz")


def test_an_import_replaces_the_meaning_of_another_network(imported: Path, tmp_path: Path) -> None:
    meaning = json.loads((tmp_path / "import.json").read_text())
    meaning["input"]["scale"] = 7.0
    (tmp_path / "meaning.json").write_text(json.dumps(meaning))
    arguments = ["import", str(tmp_path / "model.onnx"), "-o", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert _source(imported, "all").meaning.input_scale == 0.25


def test_floats_need_to_know_what_integers_stand_for(tmp_path: Path) -> None:
    save(small_network(), tmp_path / "network.json")
    with pytest.raises(UsageError, match=r"keep import\.json beside network\.json"):
        _source(tmp_path / "network.json", _as_npy(tmp_path, _floats(1)))


def test_experiments_have_data_of_their_own(tmp_path: Path) -> None:
    experiment = tmp_path / "experiment.toml"
    experiment.write_text("name = 'a'\n")
    with pytest.raises(UsageError, match="an experiment names its data itself"):
        image_changes(experiment, str(_as_npy(tmp_path, _floats(1))))


@pytest.mark.slow
def test_accuracy_of_own_images_in_rtl(imported: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=_floats(4), labels=np.zeros(4, np.int64))
    arguments = ["simulate", str(imported), "-o", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--images", str(tmp_path / "images.npz")])
    assert result.exit_code == 0
    assert 0 <= json.loads(result.stdout)["accuracy"]["rtl"] <= 1
