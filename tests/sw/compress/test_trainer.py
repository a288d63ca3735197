"""Phases resume from files, or run without any."""

import json
from pathlib import Path

import torch

from systolith.compress import DPPPruning, Trainer, prune_model
from systolith.data import load_digits
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.train import EpochProgress, Recipe, clear_checkpoints

PRUNINGS = [DPPPruning(patterns={"conv2": Pattern(select=KOutOfN(2, 8))}, epochs=2)]


def test_files_change_no_result_and_go_when_they_are_cleared(tmp_path: Path) -> None:
    data, recipe = load_digits(), Recipe(seed=3)
    plain = prune_model(DigitsCNN(), Trainer(data=data, recipe=recipe), PRUNINGS)
    assert plain.history == []

    trainer = Trainer(data=data, recipe=recipe, checkpoint=tmp_path / "prune")
    kept = prune_model(DigitsCNN(), trainer, PRUNINGS)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, kept.model.state_dict()[name])
    assert [entry["epoch"] for entry in kept.history] == [1, 2]
    assert set(kept.history[0]["layers"]) == {"conv2"}

    epochs: list[int] = []

    def note(progress: EpochProgress) -> None:
        epochs.append(progress.epoch)

    trainer = Trainer(data=data, recipe=recipe, progress=note, checkpoint=tmp_path / "prune")
    cached = prune_model(DigitsCNN(), trainer, PRUNINGS)
    assert epochs == [] and json.dumps(cached.history) == json.dumps(kept.history)
    clear_checkpoints(tmp_path / "prune")
    assert not any(tmp_path.iterdir())
