"""The dense model that all points of a search start from."""

from collections.abc import Callable
from pathlib import Path

import torch

from systolith.config import Experiment
from systolith.stages import make_model, recipe_of
from systolith.train import save_tensors, train_float
from systolith.tune.measuring import judged_data

__all__ = ["Heard", "train_dense"]

Heard = Callable[[str, int, int], None]
"""Hears what is done, how much of it, and of how much."""

WHAT = "training the dense model"


def train_dense(experiment: Experiment, base: Path, weights: Path, heard: Heard) -> None:
    """Train it, if that is not done; an interrupted training goes on.

    Parameters
    ----------
    experiment : Experiment
    base : Path
        Folder of the experiment file.
    weights : Path
        File that gets the weights.
    heard : callable
        Hears of progress.
    """
    if weights.exists():
        return
    heard(WHAT, 0, 1)
    before = torch.get_num_threads()
    torch.set_num_threads(experiment.train.threads)
    model = make_model(experiment.model, experiment.seed, base)
    checkpoint = weights.parent / "checkpoint"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train_float(
        model,
        judged_data(experiment, base),
        recipe_of(experiment),
        lambda now: heard(WHAT, now.epoch, now.epochs),
        checkpoint,
    )
    save_tensors(dict(model.state_dict()), weights)
    checkpoint.unlink(missing_ok=True)
    torch.set_num_threads(before)
