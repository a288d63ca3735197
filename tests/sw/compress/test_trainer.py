"""Phases resume from files, or run without any."""

import json
from pathlib import Path

import pytest
import torch

from systolith.compress import (
    DPPFilterPruning,
    DPPPruning,
    MagnitudePruning,
    SRSTEPruning,
    Trainer,
    prune_model,
)
from systolith.data import load_digits
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import ScorePruner
from systolith.train import CheckpointError, EpochProgress, Recipe, clear_checkpoints

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


def test_masks_that_move_are_recorded_and_frozen_ones_are_not(tmp_path: Path) -> None:
    data, pattern = load_digits(), Pattern(select=KOutOfN(1, 4))
    trainer = Trainer(data=data, recipe=Recipe(prune_epochs=2), checkpoint=tmp_path / "checkpoint")
    model, start = DigitsCNN(), ScorePruner(patterns={"conv3": pattern}).masks(DigitsCNN())
    pruned = prune_model(model, trainer, [SRSTEPruning(patterns={"conv3": pattern})])
    mask, before = pruned.masks["conv3.weight"], start["conv3.weight"]
    moved = float((mask & ~before).sum() / mask.sum())
    assert [entry["epoch"] for entry in pruned.history] == [1, 2]
    assert pruned.history[-1]["layers"] == {"conv3": {"moved": pytest.approx(moved)}}
    assert moved > 0.05
    assert {entry["phase"] for entry in pruned.history} == {"0-sr-ste"}
    frozen = Trainer(data=data, recipe=Recipe(prune_epochs=1), checkpoint=tmp_path / "other")
    prunings = [MagnitudePruning(patterns={"conv3": pattern})]
    assert not prune_model(DigitsCNN(), frozen, prunings).history


@pytest.mark.parametrize("name", ["search", "odds.json"])
def test_damaged_files_of_unfinished_work_are_named(tmp_path: Path, name: str) -> None:
    trainer = Trainer(data=load_digits(), checkpoint=tmp_path / "prune")
    (tmp_path / f"prune-{'0-lfe-' if name == 'search' else ''}{name}").write_bytes(b"{")
    with pytest.raises(CheckpointError, match=r"^checkpoint '.*' cannot be read; remove it"):
        trainer.load_search("0-lfe") if name == "search" else trainer.read_history()


def test_a_second_method_keeps_the_history_of_the_first(tmp_path: Path) -> None:
    trainer = Trainer(data=load_digits(), recipe=Recipe(), checkpoint=tmp_path / "prune")
    prunings = [DPPFilterPruning(keep=0.5, multiple_of=8, epochs=2), *PRUNINGS]
    history = prune_model(DigitsCNN(), trainer, prunings).history
    phases = [(entry["phase"], entry["epoch"]) for entry in history]
    assert phases == [("0-dpp-filters", 1), ("0-dpp-filters", 2), ("1-dpp", 1), ("1-dpp", 2)]
