"""Experiment files of the zoo load, and name layers and data that exist."""

import tomllib
from pathlib import Path

import pytest

from systolith.config import load_experiment
from systolith.data import TargetKind, load_arrays
from systolith.stages.software.factories import make_model
from systolith.zoo import ZOO
from systolith.zoo.experiments import EXPERIMENT, experiment_files
from systolith.zoo.making import ZooNetwork, copy_state
from tests.support.networks import small_network


def _write(name: str, folder: Path) -> Path:
    made = ZooNetwork(
        entry=ZOO[name],
        network=small_network(),
        parameters=0,
        accuracy=None,
        reference=lambda images: {},
        weights=copy_state(ZOO[name].make_model()),
    )
    for file, content in experiment_files(made, "ecp5-25f").items():
        (folder / file).write_bytes(content)
    return folder / EXPERIMENT


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.targets])
def test_an_experiment_fits_its_model_and_its_data(name: str, tmp_path: Path) -> None:
    path, entry = _write(name, tmp_path), ZOO[name]
    experiment = load_experiment(path)
    model = make_model(experiment.model, 0, tmp_path)
    layers = {layer for layer, _ in model.named_modules()}
    rules = tomllib.loads(path.read_text())["prune"][0]["rules"]
    assert {rule["layers"] for rule in rules} <= layers
    if entry.trains_on:
        assert experiment.data.factory == entry.trains_on
        return
    data = load_arrays(tmp_path / "data.npz", target=TargetKind(entry.targets))
    assert data.train_images.shape[1:] == entry.shape
    outputs = model.eval()(data.test_images[:2])
    match data.target:
        case TargetKind.CLASSES | TargetKind.PIXEL_CLASSES:
            assert outputs.shape[:2] == (2, entry.classes)
            assert outputs[:, 0].shape == data.test_labels[:2].shape
        case TargetKind.VALUES | TargetKind.INPUT:
            assert outputs.shape == data.test_targets[:2].shape
